"""Turns what the gate (Redis) holds for a request into a reservation of the books (PostgreSQL), and back."""

import uuid
from collections import Counter

from flashsale.books.reservations import NewReservation, ReservedUnit, SlotRequest
from flashsale.gate.held_request import HeldRequest, HeldUnit, ReserveRequest
from flashsale.gate.sale_card import SaleCard
from flashsale.models import LimitSlot, Reservation
from flashsale.rules.attached import NOTHING, Attached
from flashsale.rules.states import UnitState


def new_reservation(card: SaleCard, held: HeldRequest, attached: Attached = NOTHING) -> NewReservation:
    """The reservation that the books write for what the gate holds, with what the partner attached to the request."""
    request = held.request
    line = card.line_by_id(request.line_id)
    if line is None:
        raise ValueError(f"the card of {card.code} has no line {request.line_id}")
    prices = {offer.sku: offer.price for offer in card.offers}
    units = tuple(
        ReservedUnit(unit.unit_id, unit.version, line.skus[unit.offer], prices[line.skus[unit.offer]])
        for unit in held.units
    )
    limits = [(LimitSlot.campaign_scope(card.campaign), card.limit)]
    if card.sale_limit:
        limits.append((LimitSlot.sale_scope(card.sale), card.sale_limit))
    limit_slots = tuple(
        SlotRequest(scope, axis, digest, limit) for scope, limit in limits for axis, digest in request.limit_slots
    )
    return NewReservation(
        id=uuid.UUID(request.id), sale=card.sale, epoch=card.epoch, allocation=line.id, channel=request.channel_id,
        index=request.index, number=request.number, asked=request.key, fingerprint=request.fingerprint, units=units,
        limit_slots=limit_slots, made_ms=held.made_ms, deadline_ms=held.deadline_ms, attached=attached,
    )  # fmt: skip


def request_to_retake(card: SaleCard, reservation: uuid.UUID) -> HeldRequest | None:
    """An expired reservation as the gate would hold it again; None where a unit is no longer free in its line."""
    row = Reservation.objects.prefetch_related("reservation_units__unit", "unpaid_holds").get(pk=reservation)
    line = card.line_of_allocation(row.allocation_id)
    units = sorted((held.unit for held in row.reservation_units.all()), key=lambda unit: unit.pk)
    if any((unit.state, unit.allocation_id) != (UnitState.FREE, row.allocation_id) for unit in units):
        return None
    held_units = tuple(HeldUnit(unit.pk, unit.version, line.skus.index(unit.sku)) for unit in units)
    limit_slots = tuple(sorted((hold.axis, hold.digest) for hold in row.unpaid_holds.all()))
    proven = {axis.value for axis in card.hard_at_enter}
    request = ReserveRequest(
        id=str(row.pk), key=row.asked, fingerprint=row.fingerprint, index=row.index, number=row.number,
        items=items_of(held_units), quantity=row.quantity,
        digests=tuple(digest for axis, digest in limit_slots if axis in proven), limit=card.limit,
        sale_limit=card.sale_limit, channel_id=row.channel_id, line_id=line.line_id, limit_slots=limit_slots,
    )  # fmt: skip
    return HeldRequest(request, held_units, int(row.made_at.timestamp() * 1000), row.deadline_ms)


def items_of(units: tuple[HeldUnit, ...]) -> tuple[tuple[int, int], ...]:
    """The items of a request that holds these units: (offer's position in the line, quantity)."""
    return tuple(sorted(Counter(unit.offer for unit in units).items()))
