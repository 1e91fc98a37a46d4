"""How a reservation ends in the books: one place for expiry, release, cancellation and abandonment."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flashsale.models.reservation import Holding, Reservation
from flashsale.models.unit import Unit
from flashsale.models.writer import advance_units
from flashsale.rules.states import ReservationState, UnitState


@dataclass(frozen=True, slots=True)
class Ended:
    """What the gate must hear of an end: whether the limit is free again, and units offered again."""

    reservation: str
    allocation: int
    frees_limit: bool
    units: tuple[tuple[int, int, str], ...]


def units_of(ids: Iterable[int]) -> list[Unit]:
    """The units, locked in the order of their ids."""
    return list(Unit.objects.select_for_update().filter(id__in=list(ids)).order_by("id"))


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
    was, becomes = (
        (UnitState.SOLD, UnitState.RETURNED)
        if reservation.state == ReservationState.CONFIRMED
        else (UnitState.HELD, UnitState.FREE)
    )
    holdings = Holding.objects.filter(reservation=reservation, active=True)
    units = units_of(holdings.values_list("unit_id", flat=True))
    advance_units([(unit.id, unit.version) for unit in units], was=was, becomes=becomes)
    holdings.update(active=False)
    if not keep_slots:
        reservation.claims.all().delete()
    reservation.state, reservation.ended_at = state, now
    reservation.save(update_fields=["state", "ended_at"])
    return ended_before(reservation)


def ended_before(reservation: Reservation) -> Ended:
    """What the gate must hear of a reservation that has ended, however often: its message may be lost."""
    units = units_of(reservation.holdings.values_list("unit_id", flat=True))
    line = reservation.allocation_id
    return Ended(str(reservation.id), line, not reservation.claims.exists(), offered(units, line))


def abandon(fields: dict[str, Any], *, units: Iterable[tuple[int, int]], now: datetime) -> Ended:
    """Refuses a reservation that the gate took but nobody committed: from now on nobody can. Must run in a transaction.

    Its units become free at a newer version, so that the gate may offer them again.
    """
    row = Reservation.objects.create(state=ReservationState.ABANDONED, ended_at=now, **fields)
    taken = list(units)
    free = [(unit.id, unit.version) for unit in units_of(id_ for id_, _ in taken) if (unit.id, unit.version) in taken]
    advance_units(free, was=UnitState.FREE, becomes=UnitState.FREE)
    line = row.allocation_id
    return Ended(str(row.id), line, True, offered(units_of(id_ for id_, _ in taken), line))
