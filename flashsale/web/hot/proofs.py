"""What our own page has proven about a shopper: sealed proofs in HttpOnly cookies, one for each campaign and axis."""

import re
from collections.abc import Mapping
from heapq import nlargest

from flashsale.gate.sale_card import SaleCard
from flashsale.life import places
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Proof, TokenRefused

KIND = "proof"


# A cookie is 110 bytes and a proxy takes 8 kB of them, beside those of the places and of the rest of the shop.
CAMPAIGNS_KEPT = 8
_NAME = re.compile(r"fs_proof_[a-z0-9_]{1,40}")


def cookie_of(campaign: int, axis: Axis) -> str:
    """The name of the cookie that carries the proof of an axis in a campaign."""
    return f"fs_proof_{campaign}_{axis.value}"


def outworn(*, campaign: int, cookies: Mapping[str, str]) -> list[str]:
    """The cookies to take away when this campaign's are set: what proves nothing, and all but the newest campaigns'."""
    found = {name: _proof(token) for name, token in cookies.items() if _NAME.fullmatch(name)}
    made: dict[int, int] = {}
    for proof in filter(None, found.values()):
        if proof.campaign != campaign:
            made[proof.campaign] = max(proof.made_ms, made.get(proof.campaign, 0))
    kept = {campaign, *nlargest(CAMPAIGNS_KEPT - 1, made, key=lambda other: made[other])}
    return [
        name for name, proof in found.items()
        if proof is None or proof.campaign not in kept or name != cookie_of(proof.campaign, proof.axis)
    ]  # fmt: skip


def proven(*, card: SaleCard, cookies: Mapping[str, str]) -> dict[Axis, bytes]:
    """The digests that these cookies prove in the sale's campaign; refuses UNPROVEN, naming the axes that lack."""
    found = {axis: _digest(card, axis, cookies.get(cookie_of(card.campaign, axis), "")) for axis in card.hard_at_enter}
    missing = [axis.value for axis, digest in found.items() if digest is None]
    if missing:
        raise Refused(Outcome.UNPROVEN, f"To prove: {', '.join(missing)}.")
    return {axis: digest for axis, digest in found.items() if digest is not None}


def _digest(card: SaleCard, axis: Axis, token: str) -> bytes | None:
    proof = _proof(token)
    return proof.digest if proof and (proof.campaign, proof.axis) == (card.campaign, axis) else None


def _proof(token: str) -> Proof | None:
    try:
        return Proof.unpack(places.keyring().open(KIND, token))
    except TokenRefused:
        return None
