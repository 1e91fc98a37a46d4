"""How a reservation ends in PostgreSQL (the books): the one place for expiry, release, cancellation and abandonment."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from flashsale.books.events import of_order, record
from flashsale.books.letters import add_letters_of_expired
from flashsale.books.reservations import advance_units, lock_sale
from flashsale.models.limit_slot import LimitSlot, UnpaidHold
from flashsale.models.payment import PaymentAttempt
from flashsale.models.reservation import Reservation, ReservationUnit
from flashsale.models.unit import Unit
from flashsale.rules.events import EventType
from flashsale.rules.states import OPEN_ATTEMPTS, ReservationState, UnitState


@dataclass(frozen=True, slots=True)
class EndedReservation:
    """What Redis (the gate) must be told about an end.

    `how` is the state of the reservation, or "expired" for an order that its buyer cancelled in a running sale, because
    it counts as an unpaid hold. `frees_limit` says whether its limit slots are free again. `units` are the units to
    offer again, as (id, version, SKU).
    """

    reservation: str
    allocation: int
    how: str
    frees_limit: bool
    units: tuple[tuple[int, int, str], ...]


def lock_units(ids: Iterable[int]) -> list[Unit]:
    """Locks the units and returns them, in the order of their ids so that two callers cannot deadlock."""
    return list(Unit.objects.select_for_update().filter(id__in=ids).order_by("id"))


def offerable_units(units: Iterable[Unit], allocation: int) -> tuple[tuple[int, int, str], ...]:
    """The units that are free in this allocation, as Redis needs them: (id, version, SKU).

    A unit that has moved to another allocation since is left out, because the other line offers it.
    """
    free = (unit for unit in units if unit.state == UnitState.FREE and unit.allocation_id == allocation)
    return tuple((unit.id, unit.version, unit.sku) for unit in free)


def end(
    reservation: Reservation,
    *,
    state: ReservationState,
    now: datetime,
    keep_slots: bool = False,
    back_to_line: bool = False,
    reason: str = "",
) -> EndedReservation:
    """Ends a locked reservation (see :func:`end_all`)."""
    ended = end_all(
        [reservation], state=state, now=now, keep_slots=keep_slots, back_to_line=back_to_line, reason=reason
    )
    return ended[0]


def end_all(
    reservations: Sequence[Reservation],
    *,
    state: ReservationState,
    now: datetime,
    keep_slots: bool = False,
    back_to_line: bool = False,
    reason: str = "",
) -> list[EndedReservation]:
    """Ends locked reservations of one sale, which must all be in the same state.

    The units of held reservations become free. The units of confirmed ones return to the pool. With `back_to_line` they
    become free in their line instead, and each order counts as an unpaid hold of its owner. `keep_slots` leaves their
    limit used (for a cancellation by review, until its appeal is final). `reason` is the reason of a cancellation, for
    its event. Must run in a transaction. All of them end or none: raises RefusedByBooks if the state of a unit does not
    fit its reservation.
    """
    if not reservations:
        return []
    (sale,) = {row.sale_id for row in reservations}
    # A shared lock: only a rebuild locks exclusively, because it must not count reservations that end meanwhile.
    lock_sale(sale)
    sold = reservations[0].state == ReservationState.CONFIRMED
    was = UnitState.SOLD if sold else UnitState.HELD
    becomes = UnitState.RETURNED if sold and not back_to_line else UnitState.FREE
    reservation_units = ReservationUnit.objects.filter(reservation__in=reservations, active=True)
    units = lock_units(reservation_units.values_list("unit_id", flat=True))
    advance_units([(unit.id, unit.version) for unit in units], was=was, becomes=becomes)
    reservation_units.update(active=False)
    limit_slots = LimitSlot.objects.filter(reservation__in=reservations)
    if back_to_line or state == ReservationState.EXPIRED:
        _remember_unpaid(reservations[0].sale.campaign_id, limit_slots)
    if not keep_slots:
        limit_slots.delete()
    for row in reservations:
        row.state, row.ended_at = state, now
    Reservation.objects.filter(pk__in=[row.pk for row in reservations]).update(state=state, ended_at=now)
    if not sold:
        # The provider must take no more money for them.
        open_ones = PaymentAttempt.objects.filter(reservation__in=reservations, state__in=OPEN_ATTEMPTS)
        open_ones.update(next_look_at=now)
    why = {"reason": reason} if reason else {}
    record([of_order(row, EventType(f"reservation.{state}"), **why) for row in reservations], now)
    if state == ReservationState.EXPIRED:
        add_letters_of_expired(reservations, now)
    return describe_all_ended(reservations)


def _remember_unpaid(campaign: int, limit_slots: QuerySet[LimitSlot]) -> None:
    known = limit_slots.filter(scope=LimitSlot.campaign_scope(campaign)).values_list("reservation_id", "axis", "digest")
    UnpaidHold.objects.bulk_create(
        UnpaidHold(campaign_id=campaign, reservation_id=id_, axis=axis, digest=digest)
        for id_, axis, digest in known.distinct()
    )


def describe_ended(reservation: Reservation) -> EndedReservation:
    """What Redis must be told about one ended reservation (see :func:`describe_all_ended`)."""
    return describe_all_ended([reservation])[0]


def describe_all_ended(
    reservations: Sequence[Reservation], taken: Mapping[uuid.UUID, Collection[tuple[int, int]]] | None = None
) -> list[EndedReservation]:
    """What Redis must be told about ended reservations. Safe to call again, because messages to Redis may be lost.

    `taken` has, by reservation, the units (id, version) that Redis keeps for it and PostgreSQL never committed. Units
    that are still at that version become free at a newer version, so that Redis may offer them again. Must run in a
    transaction.
    """
    units_in = {row.pk: {unit for unit, _ in (taken or {}).get(row.pk, ())} for row in reservations}
    kept = {unit for row in reservations for unit in (taken or {}).get(row.pk, ())}
    given_up = [pair for unit in lock_units(id_ for id_, _ in kept) if (pair := (unit.id, unit.version)) in kept]
    advance_units(given_up, was=UnitState.FREE, becomes=UnitState.FREE)
    for id_, unit in ReservationUnit.objects.filter(reservation__in=reservations).values_list(
        "reservation_id", "unit_id"
    ):
        units_in[id_].add(unit)
    # No locks here: Redis compares versions, and it is told after the commit in any case.
    units = Unit.objects.in_bulk(set().union(*units_in.values()))
    limited = set(LimitSlot.objects.filter(reservation__in=reservations).values_list("reservation_id", flat=True))
    unpaid = set(UnpaidHold.objects.filter(reservation__in=reservations).values_list("reservation_id", flat=True))
    return [
        EndedReservation(
            str(row.pk),
            row.allocation_id,
            str(ReservationState.EXPIRED if row.pk in unpaid else row.state),
            row.pk not in limited,
            offerable_units((units[id_] for id_ in sorted(units_in[row.pk])), row.allocation_id),
        )
        for row in reservations
    ]


def abandon_all(rows: Iterable[Reservation], *, now: datetime) -> None:
    """Writes reservations that Redis took and no process committed as abandoned. They cannot be committed afterwards.

    If another process commits one of them at this moment, the first insert decides. Must run in a transaction;
    `describe_all_ended` gives their units up.
    """
    # The writer thread inserts in the same order, so two transactions with the same rows cannot deadlock.
    fresh = sorted(rows, key=lambda row: row.pk)
    for row in fresh:
        row.state, row.ended_at = ReservationState.ABANDONED, now
    Reservation.objects.bulk_create(fresh, ignore_conflicts=True)
