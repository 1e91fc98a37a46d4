"""Passes: a signed statement that the person who brings it holds a reservation, for the checkout of another shop.

A pass is a JSON Web Token (RFC 7519), signed with Ed25519 (alg EdDSA, RFC 8037). PHP and Node.js verify it without any
library. The key is that of the receipts. No text is both a receipt and a pass: a receipt's signed bytes begin with a
tag and a line feed, those of a pass have only letters of base64url and one dot.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from flashsale.rules import receipts

# An explicit type (RFC 8725, 3.11): no other token of ours, and no token for another purpose, passes as a pass.
TYPE = "flashsale-pass+jwt"
ALGORITHM = "EdDSA"
PASS_S = 120
CHARS_MAX = 1024
_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,8})")


class NotAPass(ValueError):
    """The text is no pass of ours. The error does not say why: it could help an attacker."""


class Pass(NamedTuple):
    """What a pass says. `number` counts the passes of a reservation from 1. Times are in seconds since 1970.

    `audience` is the channel whose shop may redeem it, as "campaign/channel".
    """

    issuer: str
    audience: str
    sale: str
    reservation: UUID
    number: int
    made: int
    expires: int

    @property
    def id(self) -> str:
        """The name of the pass, which no other pass has."""
        return f"{self.reservation}.{self.number}"


def audience(*, campaign: str, channel: str) -> str:
    """The audience of a channel's passes: codes of channels are unique in their campaign only."""
    return f"{campaign}/{channel}"


def sign(made: Pass, signer: receipts.Signer) -> str:
    """The pass as a JSON Web Token."""
    header = {"alg": ALGORITHM, "kid": signer.key_id, "typ": TYPE}
    claims = {
        "iss": made.issuer, "aud": made.audience, "sub": str(made.reservation), "jti": made.id, "sale": made.sale,
        "iat": made.made, "exp": made.expires,
    }  # fmt: skip
    text = f"{_part(header)}.{_part(claims)}"
    return f"{text}.{receipts.to_base64url(signer.signature(text.encode()))}"


def read(text: str, publics: Mapping[str, bytes]) -> Pass:
    """The content of a pass that one of these keys (by id) has signed, also after its end. Raises NotAPass."""
    parts = text.split(".")
    if len(text) > CHARS_MAX or not text.isascii() or len(parts) != 3:
        raise NotAPass
    header = _object(parts[0])
    public = publics.get(str(header.get("kid")))
    if public is None or (header.get("alg"), header.get("typ")) != (ALGORITHM, TYPE):
        raise NotAPass
    try:
        signature = receipts.from_base64url(parts[2])
        Ed25519PublicKey.from_public_bytes(public).verify(signature, f"{parts[0]}.{parts[1]}".encode())
    except (InvalidSignature, receipts.Unusable) as error:
        raise NotAPass from error
    return _content(_object(parts[1]))


def _content(claims: dict[str, Any]) -> Pass:
    found = _ID.fullmatch(str(claims.get("jti")))
    issuer, audience_, sale = (claims.get(name) for name in ("iss", "aud", "sale"))
    made, expires = claims.get("iat"), claims.get("exp")
    if found is None or not (isinstance(issuer, str) and isinstance(audience_, str) and isinstance(sale, str)):
        raise NotAPass
    if type(made) is not int or type(expires) is not int:  # rejects a bool, which is an int in Python
        raise NotAPass
    return Pass(issuer, audience_, sale, UUID(found[1]), int(found[2]), made, expires)


def _part(value: Mapping[str, Any]) -> str:
    return receipts.to_base64url(json.dumps(value, separators=(",", ":")).encode())


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(receipts.from_base64url(part))
    except (ValueError, RecursionError) as error:
        raise NotAPass from error
    if not isinstance(found, dict):
        raise NotAPass
    return found
