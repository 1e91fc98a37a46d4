"""How a reservation ends in the books: one place for expiry, release, cancellation and abandonment."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from flashsale.books.reservations import advance_units, lock_sale
from flashsale.models.limit_slot import LimitSlot, UnpaidHold
from flashsale.models.reservation import Reservation, ReservationUnit
from flashsale.models.unit import Unit
from flashsale.rules.states import ReservationState, UnitState


@dataclass(frozen=True, slots=True)
class EndedReservation:
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


def end(
    reservation: Reservation, *, state: ReservationState, now: datetime, keep_slots: bool = False
) -> EndedReservation:
    """Ends a locked reservation (see :func:`end_all`)."""
    return end_all([reservation], state=state, now=now, keep_slots=keep_slots)[0]


def end_all(
    reservations: Sequence[Reservation], *, state: ReservationState, now: datetime, keep_slots: bool = False
) -> list[EndedReservation]:
    """Ends locked reservations of one sale that are all in one state: held ones free their units, confirmed ones
    return them to the pool.

    `keep_slots` leaves the limit used (a cancellation by review, until its appeal is final). Must run in a transaction,
    and all or none of them end: raises RefusedByBooks where a unit is not as its reservation says.
    """
    if not reservations:
        return []
    (sale,) = {row.sale_id for row in reservations}
    # Shared with everybody but a rebuild, which must not count what ends meanwhile.
    lock_sale(sale)
    was, becomes = (
        (UnitState.SOLD, UnitState.RETURNED)
        if reservations[0].state == ReservationState.CONFIRMED
        else (UnitState.HELD, UnitState.FREE)
    )
    reservation_units = ReservationUnit.objects.filter(reservation__in=reservations, active=True)
    units = units_of(reservation_units.values_list("unit_id", flat=True))
    advance_units([(unit.id, unit.version) for unit in units], was=was, becomes=becomes)
    reservation_units.update(active=False)
    limit_slots = LimitSlot.objects.filter(reservation__in=reservations)
    if state == ReservationState.EXPIRED:
        _remember_unpaid(reservations[0].sale.campaign_id, limit_slots)
    if not keep_slots:
        limit_slots.delete()
    for row in reservations:
        row.state, row.ended_at = state, now
    Reservation.objects.filter(pk__in=[row.pk for row in reservations]).update(state=state, ended_at=now)
    return ended_before_all(reservations)


def _remember_unpaid(campaign: int, limit_slots: QuerySet[LimitSlot]) -> None:
    known = limit_slots.filter(scope=LimitSlot.campaign_scope(campaign)).values_list("reservation_id", "axis", "digest")
    UnpaidHold.objects.bulk_create(
        UnpaidHold(campaign_id=campaign, reservation_id=id_, axis=axis, digest=digest)
        for id_, axis, digest in known.distinct()
    )


def ended_before(reservation: Reservation) -> EndedReservation:
    """What the gate must hear of a reservation that has ended (see :func:`ended_before_all`)."""
    return ended_before_all([reservation])[0]


def ended_before_all(
    reservations: Sequence[Reservation], taken: Mapping[uuid.UUID, Collection[tuple[int, int]]] | None = None
) -> list[EndedReservation]:
    """What the gate must hear of reservations that have ended, however often: its messages may be lost.

    `taken` are units (id, version) that the gate keeps for them and nobody committed: where they are still as the gate
    knows them, they become free at a newer version, so that it may offer them again. Must run in a transaction.
    """
    units_in = {row.pk: {unit for unit, _ in (taken or {}).get(row.pk, ())} for row in reservations}
    kept = {unit for row in reservations for unit in (taken or {}).get(row.pk, ())}
    given_up = [pair for unit in units_of(id_ for id_, _ in kept) if (pair := (unit.id, unit.version)) in kept]
    advance_units(given_up, was=UnitState.FREE, becomes=UnitState.FREE)
    for id_, unit in ReservationUnit.objects.filter(reservation__in=reservations).values_list(
        "reservation_id", "unit_id"
    ):
        units_in[id_].add(unit)
    # Without locks: the gate compares versions, and hears of them after the commit anyway.
    units = Unit.objects.in_bulk(set().union(*units_in.values()))
    limited = set(LimitSlot.objects.filter(reservation__in=reservations).values_list("reservation_id", flat=True))
    return [
        EndedReservation(
            str(row.pk), row.allocation_id, str(row.state), row.pk not in limited,
            offered((units[id_] for id_ in sorted(units_in[row.pk])), row.allocation_id),
        )
        for row in reservations
    ]  # fmt: skip


def abandon_all(rows: Iterable[Reservation], *, now: datetime) -> None:
    """Refuses reservations that the gate took but nobody committed: from now on nobody can.

    Where somebody commits one at this moment, whoever is first decides. Must run in a transaction; their units are
    given up by `ended_before_all`.
    """
    # In the order in which the writer inserts: two that write the same ones wait for each other one way only.
    fresh = sorted(rows, key=lambda row: row.pk)
    for row in fresh:
        row.state, row.ended_at = ReservationState.ABANDONED, now
    Reservation.objects.bulk_create(fresh, ignore_conflicts=True)
