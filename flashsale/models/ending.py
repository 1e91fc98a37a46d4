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
    """What the gate must hear of an end: (axis, digest) that get their limit back, units offered again."""

    reservation: str
    allocation: int
    quantity: int
    digests: tuple[tuple[str, str], ...]
    units: tuple[tuple[int, int, str], ...]


def units_of(ids: Iterable[int]) -> list[Unit]:
    """The units, locked in the order of their ids."""
    return list(Unit.objects.select_for_update().filter(id__in=list(ids)).order_by("id"))


def offered(units: Iterable[Unit]) -> tuple[tuple[int, int, str], ...]:
    """The units that are free, as the gate hears of them: id, version, SKU."""
    return tuple((unit.id, unit.version, unit.sku) for unit in units if unit.state == UnitState.FREE)


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
    digests: tuple[tuple[str, str], ...] = ()
    if not keep_slots:
        digests = tuple(sorted(set(reservation.claims.values_list("axis", "digest"))))
        reservation.claims.all().delete()
    reservation.state, reservation.ended_at = state, now
    reservation.save(update_fields=["state", "ended_at"])
    given = offered(units_of(unit.id for unit in units))
    return Ended(str(reservation.id), reservation.allocation_id, reservation.quantity, digests, given)


def ended_before(reservation: Reservation) -> Ended:
    """What the gate must hear, once more, of a reservation that ended earlier: its message may have been lost."""
    units = units_of(reservation.holdings.values_list("unit_id", flat=True))
    kept = tuple(sorted(set(reservation.claims.values_list("axis", "digest"))))
    return Ended(str(reservation.id), reservation.allocation_id, reservation.quantity, kept, offered(units))


def abandon(
    fields: dict[str, Any], *, units: Iterable[tuple[int, int]], digests: Iterable[tuple[str, str]], now: datetime
) -> Ended:
    """Refuses a reservation that the gate took but nobody committed: from now on nobody can. Must run in a transaction.

    Its units become free at a newer version, so that the gate may offer them again.
    """
    row = Reservation.objects.create(state=ReservationState.ABANDONED, ended_at=now, **fields)
    taken = list(units)
    free = [(unit.id, unit.version) for unit in units_of(id_ for id_, _ in taken) if (unit.id, unit.version) in taken]
    advance_units(free, was=UnitState.FREE, becomes=UnitState.FREE)
    return Ended(
        str(row.id), row.allocation_id, row.quantity, tuple(digests), offered(units_of(id_ for id_, _ in taken))
    )
