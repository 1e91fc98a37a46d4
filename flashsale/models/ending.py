"""How a reservation ends in the books: one place for expiry, release, cancellation and abandonment."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flashsale.models.reservation import Claim, Holding, Reservation, Unpaid
from flashsale.models.unit import Unit
from flashsale.models.writer import advance_units, lock_sale
from flashsale.rules.states import ReservationState, UnitState


@dataclass(frozen=True, slots=True)
class Ended:
    """What the gate must hear of an end: how it was, whether the limit is free again, and units offered again."""

    reservation: str
    allocation: int
    how: str
    frees_limit: bool
    units: tuple[tuple[int, int, str], ...]


def units_of(ids: Iterable[int]) -> list[Unit]:
    """The units, locked in the order of their ids."""
    return list(Unit.objects.select_for_update().filter(id__in=ids).order_by("id"))


def offered(units: Iterable[Unit], allocation: int) -> tuple[tuple[int, int, str], ...]:
    """The units that are free in this allocation, as the gate hears of them: id, version, SKU.

    A unit may have moved on since: then another line offers it.
    """
    free = (unit for unit in units if unit.state == UnitState.FREE and unit.allocation_id == allocation)
    return tuple((unit.id, unit.version, unit.sku) for unit in free)


def end(reservation: Reservation, *, state: ReservationState, now: datetime, keep_slots: bool = False) -> Ended:
    """Ends a locked reservation: a held one frees its units, a confirmed one returns them to the pool.

    `keep_slots` leaves the limit used (a cancellation by review, until its appeal is final). Must run in a transaction.
    """
    # Shared with everybody but a rebuild, which must not count what ends meanwhile.
    lock_sale(reservation.sale_id)
    was, becomes = (
        (UnitState.SOLD, UnitState.RETURNED)
        if reservation.state == ReservationState.CONFIRMED
        else (UnitState.HELD, UnitState.FREE)
    )
    holdings = Holding.objects.filter(reservation=reservation, active=True)
    units = units_of(holdings.values_list("unit_id", flat=True))
    advance_units([(unit.id, unit.version) for unit in units], was=was, becomes=becomes)
    holdings.update(active=False)
    if state == ReservationState.EXPIRED:
        _remember_unpaid(reservation)
    if not keep_slots:
        reservation.claims.all().delete()
    reservation.state, reservation.ended_at = state, now
    reservation.save(update_fields=["state", "ended_at"])
    return ended_before(reservation)


def _remember_unpaid(reservation: Reservation) -> None:
    campaign = reservation.sale.campaign_id
    known = reservation.claims.filter(scope=Claim.campaign_scope(campaign)).values_list("axis", "digest").distinct()
    Unpaid.objects.bulk_create(
        Unpaid(campaign_id=campaign, reservation=reservation, axis=axis, digest=digest) for axis, digest in known
    )


def ended_before(reservation: Reservation, taken: Collection[tuple[int, int]] = ()) -> Ended:
    """What the gate must hear of a reservation that has ended, however often: its message may be lost.

    `taken` are units (id, version) that the gate keeps for it and nobody committed: where they are still as the gate
    knows them, they become free at a newer version, so that it may offer them again. Must run in a transaction.
    """
    ids = {*reservation.holdings.values_list("unit_id", flat=True), *(id_ for id_, _ in taken)}
    given_up = [(unit.id, unit.version) for unit in units_of(ids) if (unit.id, unit.version) in taken]
    advance_units(given_up, was=UnitState.FREE, becomes=UnitState.FREE)
    line, how = reservation.allocation_id, str(reservation.state)
    frees_limit = not reservation.claims.exists()
    return Ended(str(reservation.id), line, how, frees_limit, offered(units_of(ids), line))


def abandon(fields: dict[str, Any], *, units: Collection[tuple[int, int]], now: datetime) -> Ended:
    """Refuses a reservation that the gate took but nobody committed: from now on nobody can. Must run in a transaction.

    Its units become free at a newer version, so that the gate may offer them again.
    """
    lock_sale(fields["sale_id"])
    row = Reservation.objects.create(state=ReservationState.ABANDONED, ended_at=now, **fields)
    return ended_before(row, units)
