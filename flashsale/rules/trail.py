"""The audit trail's chain: each record's hash covers the record before it, so that nobody changes the past unseen.

    content = the record as JSON: keys sorted, no spaces, UTF-8
    hash(n) = SHA-256("flashsale/trail/v1" ‖ hash(n−1) ‖ SHA-256(content(n))),  hash(0) = 32 zero bytes

An auditor who may see only some records gets the digests of the others' content, and checks the whole chain with them.
What a chain cannot show by itself is that its last records were cut off: whoever noted an earlier head sees that.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

GENESIS = "0" * 64


def canonical(value: Any) -> str:
    """JSON in the one spelling that is hashed. Raises ValueError for NaN, TypeError for what JSON does not know."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(text: str) -> str:
    """What stands in a record for words that people wrote: they may name somebody."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def link(previous: str, content: Mapping[str, Any]) -> str:
    """The hash of a record (lower-case hex) behind the one whose hash is `previous`."""
    inner = hashlib.sha256(canonical(content).encode()).digest()
    return hashlib.sha256(b"flashsale/trail/v1" + bytes.fromhex(previous) + inner).hexdigest()


def first_break(records: Iterable[tuple[Mapping[str, Any], str, str]]) -> str | None:
    """What is wrong with the first broken record of (content, previous, hash), from position 1 on; None if nothing."""
    last = GENESIS
    for position, (content, previous, known) in enumerate(records, start=1):
        if content["position"] != position:
            return f"record {position} is missing"
        if previous != last:
            return f"record {position} does not follow the one before it"
        if link(previous, content) != known:
            return f"record {position} is not what was written"
        last = known
    return None
