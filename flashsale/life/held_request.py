"""What the gate took for a request (reserve.lua), in the shape of the books."""

import uuid
from typing import Any

from flashsale.books.reservations import NewReservation, SlotRequest, Taken
from flashsale.gate.sale_card import SaleCard
from flashsale.models import LimitSlot, Reservation
from flashsale.rules.states import UnitState


def winner_of(card: SaleCard, taken: dict[str, Any]) -> NewReservation:
    """What the gate took (reserve.lua), as the books write it."""
    ask = taken["ask"]
    line = card.line_by_id(ask["line"])
    if line is None:
        raise ValueError(f"the card of {card.code} lost its line {ask['line']}")
    prices = {offer.sku: offer.price for offer in card.offers}
    units = tuple(
        Taken(int(unit), int(version), line.skus[int(offer)], prices[line.skus[int(offer)]])
        for unit, version, offer in taken["units"]
    )
    limits = [(LimitSlot.campaign_scope(card.campaign), card.limit)]
    if card.sale_limit:
        limits.append((LimitSlot.sale_scope(card.sale), card.sale_limit))
    limit_slots = tuple(
        SlotRequest(scope, axis, digest, limit) for scope, limit in limits for axis, digest in ask["limit_slots"]
    )
    return NewReservation(
        id=uuid.UUID(ask["id"]), sale=card.sale, epoch=card.epoch, allocation=line.id, channel=int(ask["channel"]),
        index=int(ask["index"]), number=int(ask["number"]), asked=ask["key"], fingerprint=ask["print"], units=units,
        limit_slots=limit_slots, made_ms=int(taken["made"]), deadline_ms=int(taken["deadline"]),
    )  # fmt: skip


def taken_again(card: SaleCard, reservation: uuid.UUID) -> dict[str, Any] | None:
    """An expired reservation as the gate would take it once more; None where a unit is no longer free in its line."""
    row = Reservation.objects.prefetch_related("reservation_units__unit", "unpaid_holds").get(pk=reservation)
    line = card.line_of_allocation(row.allocation_id)
    units = sorted((held.unit for held in row.reservation_units.all()), key=lambda unit: unit.pk)
    if any((unit.state, unit.allocation_id) != (UnitState.FREE, row.allocation_id) for unit in units):
        return None
    limit_slots = sorted((hold.axis, hold.digest) for hold in row.unpaid_holds.all())
    proven = {axis.value for axis in card.hard_at_enter}
    ask = {
        "id": str(row.pk), "key": row.asked, "print": row.fingerprint, "index": row.index, "number": row.number,
        "quantity": row.quantity, "channel": row.channel_id, "line": line.line_id, "limit_slots": limit_slots,
        "digests": [digest for axis, digest in limit_slots if axis in proven],
    }  # fmt: skip
    return {
        "ask": ask, "units": [[unit.pk, unit.version, line.skus.index(unit.sku)] for unit in units],
        "made": int(row.made_at.timestamp() * 1000), "deadline": row.deadline_ms,
    }  # fmt: skip
