"""What the gate took for a request (reserve.lua), in the shapes of the two that know it: the books and the gate."""

import uuid
from typing import Any

from flashsale.gate.card import SaleCard
from flashsale.models import Claim, Reservation
from flashsale.models.writer import ClaimAsk, Taken, Winner


def winner_of(card: SaleCard, taken: dict[str, Any]) -> Winner:
    """What the gate took (reserve.lua), as the books write it."""
    ask = taken["ask"]
    line = card.line_number(ask["line"])
    if line is None:
        raise ValueError(f"the card of {card.code} lost its line {ask['line']}")
    prices = {offer.sku: offer.price for offer in card.offers}
    units = tuple(
        Taken(int(unit), int(version), line.skus[int(offer)], prices[line.skus[int(offer)]])
        for unit, version, offer in taken["units"]
    )
    limits = [(Claim.campaign_scope(card.campaign), card.limit)]
    if card.sale_limit:
        limits.append((Claim.sale_scope(card.sale), card.sale_limit))
    claims = tuple(ClaimAsk(scope, axis, digest, limit) for scope, limit in limits for axis, digest in ask["claims"])
    return Winner(
        id=uuid.UUID(ask["id"]), sale=card.sale, epoch=card.epoch, allocation=line.id, channel=int(ask["channel"]),
        index=int(ask["index"]), number=int(ask["number"]), asked=ask["key"], fingerprint=ask["print"], units=units,
        claims=claims, made_ms=int(taken["made"]), deadline_ms=int(taken["deadline"]),
    )  # fmt: skip


def taken_of(card: SaleCard, row: Reservation) -> dict[str, Any]:
    """What a gate without memory is told of a reservation in the books: enough to answer its request again.

    Expects `holdings__unit` and `claims` to be prefetched.
    """
    line = next(line for line in card.lines if line.id == row.allocation_id)
    claims = sorted({(claim.axis, claim.digest) for claim in row.claims.all()})
    proven = {axis.value for axis in card.hard_at_enter}
    units = [[h.unit_id, h.unit.version - 1, line.skus.index(h.sku)] for h in row.items]
    ask = {
        "id": str(row.id), "key": row.asked, "print": row.fingerprint, "index": row.index, "number": row.number,
        "quantity": row.quantity, "channel": row.channel_id, "line": line.number, "claims": claims,
        "digests": sorted({digest for axis, digest in claims if axis in proven}),
    }  # fmt: skip
    return {"ask": ask, "units": units, "made": int(row.made_at.timestamp() * 1000), "deadline": row.deadline_ms}
