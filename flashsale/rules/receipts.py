"""Receipts: a signed statement that a place was given to a person at a time. The operator cannot deny it later.

    {"receipt": {"version": 1, "sale": code, "line": code, "index": 7, "time": ms since 1970, "holder": {axis: mark}},
     "key": id of the public key, "signature": base64url}

Where the line has committed to its entries (version 2 of the draw), the receipt also has "cohort" and "root" (hex) of
the entries, "state" and "leaf" (hex) of its index, and "proof": the nodes (hex) from the leaf to the root. lottery.py
checks the proof.

Signed (Ed25519) are the bytes of "flashsale/receipt/v1", a line feed, and the receipt as JSON by RFC 8785: names
sorted, no spaces, UTF-8. A mark stands for a proven value and does not reveal it. The id of a key is its RFC 7638
thumbprint. To check a receipt, anyone needs only this file and the Python package `cryptography`:

    python flashsale/rules/receipts.py verify RECEIPT KEYS

RECEIPT is the file that the shopper downloaded, KEYS the answer of /v1/keys. Exit status 0: the receipt was signed by
one of these keys. 1: it was not. 2: a file is unusable.

The same key signs the files of a settlement. Signed are the bytes of "flashsale/settlement/v1", a line feed, and the
JSON {"version": 1, "sale", "channel", "date", "lines", "csv", "json"}. The last two are the SHA-256 of the file (hex):

    python flashsale/rules/receipts.py verify-file FILE SIGNATURE KEYS
"""

import argparse
import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TAG = b"flashsale/receipt/v1\n"
SETTLEMENT_TAG = b"flashsale/settlement/v1\n"
TAGS = {"receipt": TAG, "settlement": SETTLEMENT_TAG}
MARK_TAG = b"flashsale/holder/v1"
VERSION = 1
MARK_BYTES = 8
KEY_BYTES = 32
DEPTH_MAX = 4  # a receipt, its holder and a mark are three levels; deeper nesting could exhaust the stack of the reader


class Unusable(ValueError):
    """A file is not a receipt or not a list of keys."""


def statement(
    *,
    sale: str,
    line: str,
    index: int,
    time_ms: int,
    digests: Mapping[str, bytes],
    inclusion: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of a receipt. `digests` are those of the holder by axis, `time_ms` is when the place was given.

    `inclusion` has the members that prove the index to be among the entries of its line.
    """
    return {
        "version": VERSION,
        "sale": sale,
        "line": line,
        "index": index,
        "time": time_ms,
        "holder": {axis: holder_mark(axis, digest) for axis, digest in digests.items()},
        **(inclusion or {}),
    }


def holder_mark(axis: str, digest: bytes) -> str:
    """The public mark of a digest: the same value has the same mark, and the value cannot be computed from the mark."""
    return sha256(b"\0".join((MARK_TAG, axis.encode(), digest))).digest()[:MARK_BYTES].hex()


def signed_bytes(receipt: Mapping[str, Any], tag: bytes = TAG) -> bytes:
    """The bytes that are signed.

    Raises Unusable when the receipt has more than strings, whole numbers, objects and lists.
    """
    _refuse_other_types(receipt)
    try:
        return tag + json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Unusable("the receipt is not text") from error


def _refuse_other_types(value: object, depth: int = 1) -> None:
    if depth > DEPTH_MAX:
        raise Unusable("the receipt is nested too deep")
    # Only for these types do Python's JSON and RFC 8785 give the same bytes.
    if isinstance(value, Mapping) and all(isinstance(name, str) and name.isascii() for name in value):
        for part in value.values():
            _refuse_other_types(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            _refuse_other_types(part, depth + 1)
    elif not isinstance(value, str) and not (type(value) is int and abs(value) < 2**53):
        raise Unusable("a receipt has strings, whole numbers, objects and lists only")


class Signer:
    """The key that signs new receipts. Raises ValueError when the seed does not have 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    def sign(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """The receipt with key id and signature. The same receipt always has the same signature."""
        signature = self.signature(signed_bytes(receipt))
        return {"receipt": dict(receipt), "key": self.key_id, "signature": to_base64url(signature)}

    def signature(self, message: bytes) -> bytes:
        """The signature of these bytes, which must say what they are for."""
        return self._key.sign(message)

    def sign_settlement(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        """The statement of a settlement's file, with key id and signature."""
        signature = self.signature(signed_bytes(statement, SETTLEMENT_TAG))
        return {"settlement": dict(statement), "key": self.key_id, "signature": to_base64url(signature)}


def key_id(public: bytes) -> str:
    """The RFC 7638 thumbprint of a public key."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": to_base64url(public)}
    return to_base64url(sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def key_set(publics: Iterable[bytes]) -> dict[str, Any]:
    """Public keys as a JSON Web Key Set (RFC 7517, RFC 8037)."""
    return {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "alg": "EdDSA",
                "use": "sig",
                "kid": key_id(public),
                "x": to_base64url(public),
            }
            for public in publics
        ]
    }


def verify(signed: object, keys: object, kind: str = "receipt") -> bool:
    """Whether a signed receipt was signed by one of the keys of a key set. Raises Unusable. `kind` is one of TAGS."""
    if not isinstance(signed, dict) or not isinstance(signed.get(kind), dict):
        raise Unusable(f"no {kind}")
    key = signed.get("key")
    if not isinstance(key, str):
        raise Unusable("a key or a signature is missing")
    public = publics(keys).get(key)
    if public is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(
            from_base64url(signed.get("signature")), signed_bytes(signed[kind], TAGS[kind])
        )
    except InvalidSignature:
        return False
    return True


def verify_file(content: bytes, signed: object, keys: object) -> bool:
    """Whether one of the keys signed a settlement's file, as CSV or as JSON, with these bytes. Raises Unusable."""
    true = verify(signed, keys, "settlement")
    statement = signed["settlement"] if isinstance(signed, dict) else {}
    return true and sha256(content).hexdigest() in (statement.get("csv"), statement.get("json"))


def publics(keys: object) -> dict[str, bytes]:
    """The Ed25519 keys of a key set by their ids. The ids are computed here, not taken from the file."""
    listed = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(listed, list):
        raise Unusable("no list of keys")
    ours = [key for key in listed if isinstance(key, dict) and (key.get("kty"), key.get("crv")) == ("OKP", "Ed25519")]
    found = [from_base64url(key.get("x")) for key in ours]
    return {key_id(public): public for public in found if len(public) == KEY_BYTES}


def to_base64url(raw: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: object) -> bytes:
    """The bytes of base64url without padding. Raises Unusable for any other spelling."""
    if not isinstance(text, str):
        raise Unusable("a key or a signature is missing")
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Unusable("a key or a signature is not base64url") from error
    # The decoder ignores foreign characters and unused bits. Each signature must have only one spelling.
    if to_base64url(raw) != text:
        raise Unusable("a key or a signature is not base64url")
    return raw


def _read(path: str) -> object:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=_object)
    except (OSError, ValueError, RecursionError) as error:
        raise Unusable(f"cannot read {path}: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # Of two equal names, one program may keep the first and another the last. They would verify different receipts.
    if len(found) != len(pairs):
        raise Unusable("a name appears twice in one object")
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the verifier and return its exit status: 0 signed by one of the keys, 1 not, 2 unusable."""
    parser = argparse.ArgumentParser(description="Check a receipt or a settlement.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, dest="command")
    check = commands.add_parser("verify", help="check a receipt", allow_abbrev=False)
    check.add_argument("receipt", help="the receipt, as JSON")
    file = commands.add_parser("verify-file", help="check the file of a settlement", allow_abbrev=False)
    file.add_argument("file", help="the file, as CSV or as JSON")
    file.add_argument("signature", help="its signature, as JSON")
    for command in (check, file):
        command.add_argument("keys", help="the public keys, as JSON")
    arguments = parser.parse_args(argv)
    try:
        true = _check(arguments)
    except Unusable as error:
        print(f"unusable: {error}", file=sys.stderr)
        return 2
    what = "receipt" if arguments.command == "verify" else "file"
    print(f"{'ok   ' if true else 'FALSE'}  the {what} was signed by one of these keys")
    return 0 if true else 1


def _check(arguments: argparse.Namespace) -> bool:
    if arguments.command == "verify":
        return verify(_read(arguments.receipt), _read(arguments.keys))
    try:
        content = Path(arguments.file).read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {arguments.file}: {error}") from error
    return verify_file(content, _read(arguments.signature), _read(arguments.keys))


if __name__ == "__main__":
    sys.exit(main())
