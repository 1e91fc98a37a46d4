"""What our own page has proven about a shopper: sealed proofs in HttpOnly cookies, one for each axis."""

from collections.abc import Mapping

from flashsale.gate.card import SaleCard
from flashsale.life import places
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Proof, TokenRefused

KIND = "proof"


def cookie_of(axis: Axis) -> str:
    """The name of the cookie that carries the proof of an axis."""
    return f"fs_proof_{axis.value}"


def proven(*, card: SaleCard, cookies: Mapping[str, str]) -> dict[Axis, bytes]:
    """The digests that these cookies prove in the sale's campaign; refuses UNPROVEN, naming the axes that lack."""
    found = {axis: _digest(card, axis, cookies.get(cookie_of(axis), "")) for axis in card.hard_at_enter}
    missing = [axis.value for axis, digest in found.items() if digest is None]
    if missing:
        raise Refused(Outcome.UNPROVEN, f"To prove: {', '.join(missing)}.")
    return {axis: digest for axis, digest in found.items() if digest is not None}


def _digest(card: SaleCard, axis: Axis, token: str) -> bytes | None:
    try:
        proof = Proof.unpack(places.keyring().open(KIND, token))
    except TokenRefused:
        return None
    return proof.digest if (proof.campaign, proof.axis) == (card.campaign, axis) else None
