"""Proof of work: a puzzle that costs a browser some seconds, and the server two hashes. No store is needed to check it.

It is version 1 of ALTCHA (https://altcha.org): challenge = SHA-256(salt ‖ number), signature = HMAC-SHA256(key,
challenge). The solver tries the numbers from 0 to NUMBER_MAX. The salt carries the expiry, and it ends with "&": a
solver who moves digits from the number into the expiry gets another salt, which this module refuses (CVE-2025-68113).
"""

import binascii
import hmac
import json
import re
import secrets
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

ALGORITHM = "SHA-256"
NUMBER_MAX = 50_000
SALT_BYTES = 12
PAYLOAD_CHARS_MAX = 1000
_SALT = re.compile(rf"[0-9a-f]{{{2 * SALT_BYTES}}}\?expires=([1-9][0-9]{{0,11}})&", re.ASCII)


class Unsolved(ValueError):
    """The solution is not one: malformed, wrong, of another key, or too late. The text says which."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A puzzle that was solved. Its challenge is its name: a caller who keeps it can refuse it a second time."""

    challenge: str
    expires_s: int


def puzzle(key: bytes, *, expires_s: int) -> dict[str, str | int]:
    """A fresh puzzle, as JSON for the solver."""
    salt = f"{secrets.token_hex(SALT_BYTES)}?expires={expires_s}&"
    challenge = _challenge(salt, secrets.randbelow(NUMBER_MAX + 1))
    return {
        "algorithm": ALGORITHM,
        "challenge": challenge,
        "maxnumber": NUMBER_MAX,
        "salt": salt,
        "signature": _signature(key, challenge),
    }


def solution(key: bytes, payload: str, *, now_s: float) -> Solution:
    """Checks a solution: base64 of a JSON object with algorithm, challenge, number, salt and signature.

    Raises Unsolved.
    """
    fields = _fields(payload)
    salt, number = str(fields.get("salt")), fields.get("number")
    expires = _SALT.fullmatch(salt)
    if fields.get("algorithm") != ALGORITHM or expires is None or type(number) is not int:
        raise Unsolved("malformed")
    if not 0 <= number <= NUMBER_MAX:
        raise Unsolved("number out of range")
    challenge = _challenge(salt, number)
    if not (_same(challenge, fields.get("challenge")) and _same(_signature(key, challenge), fields.get("signature"))):
        raise Unsolved("wrong number, or a puzzle that is not ours")
    if int(expires[1]) <= now_s:
        raise Unsolved("expired")
    return Solution(challenge, int(expires[1]))


def _fields(payload: str) -> Mapping[str, object]:
    if len(payload) > PAYLOAD_CHARS_MAX:
        raise Unsolved("too long")
    try:
        fields = json.loads(b64decode(payload, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Unsolved("malformed") from error
    if not isinstance(fields, dict):
        raise Unsolved("malformed")
    return fields


def _challenge(salt: str, number: int) -> str:
    return sha256(f"{salt}{number}".encode()).hexdigest()


def _signature(key: bytes, challenge: str) -> str:
    return hmac.digest(key, challenge.encode(), "sha256").hex()


def _same(expected: str, given: object) -> bool:
    return isinstance(given, str) and hmac.compare_digest(expected.encode(), given.encode())
