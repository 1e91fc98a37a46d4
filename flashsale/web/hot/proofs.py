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
# A cookie has 110 bytes and a proxy accepts 8 kB of cookies, shared with places and with the rest of the shop.
CAMPAIGNS_KEPT = 8
_COOKIE_PATTERN = re.compile(r"fs_proof_[a-z0-9_]{1,40}")


def cookie_name(campaign: int, axis: Axis) -> str:
    """The name of the cookie that holds the proof of an axis in a campaign."""
    return f"fs_proof_{campaign}_{axis.value}"


def stale_cookies(*, campaign: int, cookies: Mapping[str, str]) -> list[str]:
    """Names of proof cookies to delete when this campaign's are set: invalid ones, and those of older campaigns.

    This campaign and the CAMPAIGNS_KEPT - 1 others with the newest proofs keep theirs.
    """
    proofs = {name: _proof(token) for name, token in cookies.items() if _COOKIE_PATTERN.fullmatch(name)}
    newest_ms: dict[int, int] = {}
    for proof in filter(None, proofs.values()):
        if proof.campaign != campaign:
            newest_ms[proof.campaign] = max(proof.made_ms, newest_ms.get(proof.campaign, 0))
    kept = {campaign, *nlargest(CAMPAIGNS_KEPT - 1, newest_ms, key=lambda other: newest_ms[other])}
    return [
        name
        for name, proof in proofs.items()
        if proof is None or proof.campaign not in kept or name != cookie_name(proof.campaign, proof.axis)
    ]


def proven_digests(*, card: SaleCard, cookies: Mapping[str, str]) -> dict[Axis, bytes]:
    """The digests that these cookies prove in the sale's campaign; refuses UNPROVEN and names the missing axes."""
    found = {
        axis: _digest(card, axis, cookies.get(cookie_name(card.campaign, axis), "")) for axis in card.hard_at_enter
    }
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
