"""The audit trail is a hash chain: each record's hash covers the record before it, so a changed record is found.

    content = the record as JSON: keys sorted, no spaces, UTF-8
    hash(n) = SHA-256("flashsale/trail/v1" ‖ hash(n−1) ‖ SHA-256(content(n))),  hash(0) = 32 zero bytes

An auditor who may see only some records gets the digest of the content of each other record, and checks the whole
chain with them. A chain alone does not show that its last records were deleted. An auditor who noted an earlier head
(position and hash of the last record) sees that.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

GENESIS = "0" * 64


def canonical_json(value: Any) -> str:
    """The JSON text that is hashed. Raises ValueError for NaN, TypeError for a value that JSON does not know."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def text_digest(text: str) -> str:
    """The digest that a record holds in place of a text that people wrote, because such a text may name a person."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def keyed_digest(key: bytes, kind: str, value: str) -> str:
    """The digest of a value that names a person, such as a phone. It says nothing once the random key is deleted."""
    return "hmac:" + hmac.digest(key, f"{kind}/{value}".encode(), hashlib.sha256).hex()


def chain_hash(previous: str, content: Mapping[str, Any]) -> str:
    """The hash (lower-case hex) of a record that follows the record with the hash `previous`."""
    inner = hashlib.sha256(canonical_json(content).encode()).digest()
    return hashlib.sha256(b"flashsale/trail/v1" + bytes.fromhex(previous) + inner).hexdigest()


def first_broken_record(records: Iterable[tuple[Mapping[str, Any], str, str]]) -> str | None:
    """Says what is wrong with the first broken record; None when the chain holds.

    `records` are (content, previous hash, own hash), from position 1 on.
    """
    last = GENESIS
    for position, (content, previous, known) in enumerate(records, start=1):
        if content["position"] != position:
            return f"record {position} is missing"
        if previous != last:
            return f"record {position} does not follow the one before it"
        if chain_hash(previous, content) != known:
            return f"record {position} is not what was written"
        last = known
    return None
