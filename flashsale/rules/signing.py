"""Signed requests of partners: what is signed, and whether a signature is right.

The signature is HMAC-SHA256 over seven lines: "v1", method, path with query, SHA-256 of the body in lower-case hex,
timestamp, nonce, Idempotency-Key (empty if there is none). A line feed joins two lines, and there is none at the end.
The key of the HMAC is the text of the signing secret, in UTF-8. docs/signing.md has examples.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import NamedTuple

from flashsale.rules.outcomes import Outcome, Refused

VERSION = "v1"
SIGNATURE, TIMESTAMP, NONCE = "Flashsale-Signature", "Flashsale-Timestamp", "Flashsale-Nonce"
# How far the caller's clock may be from ours, before or after.
CLOCK_WINDOW_S = 300

_SIGNATURE_PATTERN = re.compile(r"v1=[0-9a-f]{64}")
_TIMESTAMP_PATTERN = re.compile(r"[0-9]{1,13}")
_NONCE_PATTERN = re.compile(r"[A-Za-z0-9_\-]{16,64}")


class SignedRequest(NamedTuple):
    """What a signature covers, and the three headers as they were sent. `target` is the path with the query."""

    method: str
    target: str
    body: bytes
    idempotency_key: str
    signature: str
    timestamp: str
    nonce: str


def text_to_sign(request: SignedRequest) -> bytes:
    """The seven lines."""
    lines = (
        VERSION,
        request.method,
        request.target,
        hashlib.sha256(request.body).hexdigest(),
        request.timestamp,
        request.nonce,
        request.idempotency_key,
    )
    return "\n".join(lines).encode()


def signature_of(secret: str, request: SignedRequest) -> str:
    """The value of the header Flashsale-Signature for this request. Ignores the `signature` that it has."""
    return f"{VERSION}={hmac.digest(secret.encode(), text_to_sign(request), 'sha256').hex()}"


def check_signature(secret: str, request: SignedRequest, *, now: float) -> int:
    """How many seconds from `now` (s since 1970) the timestamp of this request stays valid, at least 0.

    Refuses BAD_SIGNATURE, and CLOCK_SKEW with our time. It does not know nonces: the caller remembers them.
    """
    _refuse_malformed(request)
    if not hmac.compare_digest(signature_of(secret, request), request.signature):
        raise Refused(
            Outcome.BAD_SIGNATURE,
            f"The signature does not fit. Signed must be, in lines: {VERSION}, {request.method}, {request.target}, the "
            f"SHA-256 of these {len(request.body)} bytes of body, timestamp, nonce, Idempotency-Key.",
        )
    ahead = int(request.timestamp) - int(now)
    if abs(ahead) > CLOCK_WINDOW_S:
        ours = datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
        raise Refused(
            Outcome.CLOCK_SKEW,
            f"The server's time is {int(now)} ({ours}), in seconds since 1970. {TIMESTAMP} {request.timestamp} is "
            f"{abs(ahead)} s {'after' if ahead > 0 else 'before'} it, and {CLOCK_WINDOW_S} s are allowed. Set your "
            "clock, and sign again with a new timestamp and a new nonce.",
        )
    return ahead + CLOCK_WINDOW_S


def _refuse_malformed(request: SignedRequest) -> None:
    expected = (
        (SIGNATURE, request.signature, _SIGNATURE_PATTERN, "v1= and 64 lower-case hexadecimal digits"),
        (TIMESTAMP, request.timestamp, _TIMESTAMP_PATTERN, "whole seconds since 1970"),
        (NONCE, request.nonce, _NONCE_PATTERN, "16 to 64 letters, digits, - and _"),
    )
    for name, value, pattern, form in expected:
        if not pattern.fullmatch(value):
            found = "is missing" if not value else "has another form"
            raise Refused(Outcome.BAD_SIGNATURE, f"The header {name} {found}. Expected: {form}.")
