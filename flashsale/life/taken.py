"""What the gate took for a request (reserve.lua), in the shape of the books."""

import uuid
from typing import Any

from flashsale.gate.card import SaleCard
from flashsale.models import Claim
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
