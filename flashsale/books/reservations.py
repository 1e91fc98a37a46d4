"""Commits the reservations that the gate (Redis) has decided to the books (PostgreSQL), many in one transaction.

The threads of writer_threads.py call it. When the tables refuse a batch, its reservations are committed one by one, so
that a bad row refuses only its own reservation.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from django.db import DatabaseError, IntegrityError, connection, transaction

from flashsale.books.events import NewEvent, record
from flashsale.books.rows import insert
from flashsale.books.terms import terms_now
from flashsale.models.campaign import Campaign
from flashsale.models.limit_slot import LimitSlot
from flashsale.models.reservation import Reservation, ReservationUnit
from flashsale.models.sale import moment
from flashsale.rules import wall_clock
from flashsale.rules.attached import NOTHING, Attached
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import ReservationState, SaleState, UnitState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReservedUnit:
    """A unit that the gate gave out at this version: the books hold it only if it is free at the same version."""

    unit: int
    version: int
    sku: str
    price: int


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """The limit slots that a reservation needs on one axis of one limit, one for each unit."""

    scope: str
    axis: str
    digest: str
    limit: int


@dataclass(frozen=True, slots=True)
class NewReservation:
    """A reservation that the gate has decided; times in ms on the line's clock."""

    id: uuid.UUID
    sale: int
    epoch: int
    allocation: int
    channel: int
    index: int
    number: int
    asked: str
    fingerprint: str
    units: tuple[ReservedUnit, ...]
    limit_slots: tuple[SlotRequest, ...]
    made_ms: int
    deadline_ms: int
    attached: Attached = NOTHING

    @property
    def amount(self) -> int:
        """The price of all units, in whole units of the currency."""
        return sum(unit.price for unit in self.units)

    @property
    def made_at(self) -> datetime:
        """`made_ms` as a time."""
        return moment(self.made_ms)


class RefusedByBooks(Exception):
    """The tables refuse a reservation; `outcome` says why."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(outcome, detail)
        self.outcome = outcome
        self.detail = detail


class UnlikeTerms(RefusedByBooks):
    """Redis says something about a reservation that differs from the terms of the sale."""

    def __init__(self, difference: str) -> None:
        super().__init__(Outcome.NOT_READY, difference)


# What it means when a constraint refuses. For a unique constraint, SQLite names the columns instead.
REFUSALS = {
    "one_use_of_a_limit_slot": Outcome.LIMIT_REACHED,
    "flashsale_limitslot.scope": Outcome.LIMIT_REACHED,
    "limit_slot_within_limit": Outcome.LIMIT_REACHED,
    "one_active_reservation_per_unit": Outcome.OFFER_GONE,
    "flashsale_reservationunit.unit_id": Outcome.OFFER_GONE,
    "one_reservation_per_place": Outcome.PLACE_SPENT,
    "flashsale_reservation.allocation_id": Outcome.PLACE_SPENT,
    "one_effect_per_request": Outcome.KEY_REUSED,
    "flashsale_reservation.sale_id": Outcome.KEY_REUSED,
    "one_order_per_partner_reference": Outcome.KEY_REUSED,
    "flashsale_paymentattempt.account": Outcome.KEY_REUSED,
}


def refusal_of(error: DatabaseError) -> Outcome:
    """The outcome for a constraint that refused; raises the error when the constraint has none."""
    text = str(error)
    for name, outcome in REFUSALS.items():
        if name in text:
            return outcome
    raise error


def lock_sale(sale: int, *, exclusive: bool = False, made_at: datetime | None = None) -> tuple[int, str]:
    """Locks the sale's row until the transaction ends, and returns its epoch and state.

    The lock is shared unless `exclusive`. SQLite needs none, because its transactions are exclusive. A published sale
    that had closed at `made_at`, on the line's clock, counts as closed.
    """
    lock = "" if connection.vendor == "sqlite" else (" FOR UPDATE" if exclusive else " FOR SHARE")
    query = f"SELECT epoch, state, closes_at <= %s FROM flashsale_sale WHERE id = %s{lock}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [connection.ops.adapt_datetimefield_value(made_at), sale])
        epoch, state, over = cursor.fetchone()
    return int(epoch), str(SaleState.CLOSED if over and state == SaleState.PUBLISHED else state)


def lock_campaign(campaign: int) -> Campaign:
    """Locks the row of a campaign until the transaction ends, and returns it.

    Who needs a campaign and its sales locks the campaign first. In the other order, a publication and a change of the
    campaign could wait for each other. Rows that refer to the campaign can still be written.
    """
    return Campaign.objects.select_for_update(no_key=True).get(pk=campaign)


def advance_units(units: Iterable[tuple[int, int]], *, was: UnitState, becomes: UnitState) -> None:
    """Moves units (id, version) to their next state by compare-and-set; raises RefusedByBooks if one has changed."""
    _advance({"id": "bigint", "version": "int"}, sorted(units), was=was, becomes=becomes)


def take_units(reservations: Iterable[NewReservation]) -> None:
    """Holds units: each must be free, at its version, and in the line and of the SKU that Redis says."""
    rows = sorted((unit.unit, unit.version, new.allocation, unit.sku) for new in reservations for unit in new.units)
    columns = {"id": "bigint", "version": "int", "allocation_id": "bigint", "sku": "varchar"}
    _advance(columns, rows, was=UnitState.FREE, becomes=UnitState.HELD)


def _advance(
    columns: Mapping[str, str], rows: Sequence[tuple[int | str, ...]], *, was: UnitState, becomes: UnitState
) -> None:
    if not rows:
        return
    # The state is compared in each row. As one condition for all rows, it makes PostgreSQL read an index of all free
    # units, which looks cheap to the planner and is slow.
    columns, expected = {**columns, "state": "varchar"}, [(*row, was.value) for row in rows]
    names, arrays = ", ".join(columns), [list(column) for column in zip(*expected, strict=True)]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            marks = ", ".join(f"%s::{kind}[]" for kind in columns.values())
            which = f"id = ANY(%s::bigint[]) AND ({names}) IN (SELECT * FROM unnest({marks}))"  # noqa: S608
            values: list[Any] = [arrays[0], *arrays]
        else:
            mark = f"({', '.join(['%s'] * len(columns))})"
            which = f"({names}) IN (VALUES {', '.join([mark] * len(rows))})"
            values = [value for row in expected for value in row]
        cursor.execute(
            f"UPDATE flashsale_unit SET state = %s, version = version + 1 WHERE {which}",  # noqa: S608
            [becomes.value, *values],
        )
        if cursor.rowcount != len(rows):
            raise RefusedByBooks(Outcome.OFFER_GONE, f"{cursor.rowcount} of {len(rows)} units were {was.value}")


def claim_slots(limit_slots: Sequence[tuple[uuid.UUID, SlotRequest, int]]) -> None:
    """Takes the lowest free limit slots for (reservation, request, quantity).

    Inserts them in order, so that two batches never deadlock. Raises IntegrityError when a limit is full.
    """
    used_slots: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    # With a limit of one there is only slot 1, so no query is needed: the table refuses the second reservation.
    if digests := {request.digest for _, request, _ in limit_slots if request.limit > 1}:
        for row in LimitSlot.objects.filter(digest__in=digests).values_list("scope", "axis", "digest", "slot"):
            used_slots[row[:3]].add(row[3])
    rows = []
    for reservation, request, quantity in limit_slots:
        used = used_slots[request.scope, request.axis, request.digest]
        for _ in range(quantity):
            slot = next(slot for slot in count(1) if slot not in used)
            used.add(slot)
            rows.append((request.scope, request.axis, request.digest, slot, request.limit, reservation))
    if rows:
        names = ("scope", "axis", "digest", "slot", "limit", "reservation_id")
        insert(LimitSlot, dict(zip(names, zip(*sorted(rows), strict=True), strict=True)))


def _known(reservations: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The state of the reservations that are in the books. Plain SQL, because it runs with every batch."""
    postgres = connection.vendor == "postgresql"
    marks = ", ".join(["%s"] * len(reservations))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, state FROM flashsale_reservation WHERE id IN ({marks})",  # noqa: S608
            [id_ if postgres else id_.hex for id_ in reservations],
        )
        return {id_ if postgres else uuid.UUID(id_): str(state) for id_, state in cursor.fetchall()}


def _commit(sale: int, reservations: Sequence[NewReservation]) -> dict[uuid.UUID, Outcome]:
    with transaction.atomic():
        epoch, state = lock_sale(sale, made_at=max(new.made_at for new in reservations))
        known = _known([new.id for new in reservations])
        answers = {id_: _answer_for(state) for id_, state in known.items()}
        # Sorted, because two batches may have some of the same reservations and must not deadlock.
        fresh = sorted((new for new in reservations if new.id not in known), key=lambda new: new.id)
        if fresh and state != SaleState.PUBLISHED:
            raise RefusedByBooks(Outcome.PAUSED if state == SaleState.PAUSED else Outcome.CLOSED, state)
        if any(new.epoch != epoch for new in fresh):
            raise RefusedByBooks(Outcome.NOT_READY, f"the books are in epoch {epoch}")
        if fresh:
            terms = terms_now(sale)
            for new in fresh:
                if difference := terms.difference(new):
                    raise UnlikeTerms(difference)
            _write(fresh)
    return answers | {new.id: Outcome.RESERVED for new in fresh}


def _write(fresh: Sequence[NewReservation]) -> None:
    same = ["index", "number", "asked", "fingerprint", "amount", "epoch", "deadline_ms", "made_at", "id"]
    columns = {name: [getattr(new, name) for new in fresh] for name in same}
    columns |= {f"{name}_id": [getattr(new, name) for new in fresh] for name in ("sale", "allocation", "channel")}
    if any(new.attached for new in fresh):
        columns |= {"partner_reference": [new.attached.reference for new in fresh]}
        columns |= {"metadata": [new.attached.metadata for new in fresh]}
    columns |= {"quantity": [len(new.units) for new in fresh], "state": [ReservationState.HELD.value] * len(fresh)}
    insert(Reservation, columns)
    take_units(fresh)
    units = [(new.id, unit) for new in fresh for unit in new.units]
    columns = {"reservation_id": [id_ for id_, _ in units], "unit_id": [unit.unit for _, unit in units]}
    columns |= {name: [getattr(unit, name) for _, unit in units] for name in ("sku", "price")}
    insert(ReservationUnit, columns | {"active": [True] * len(units)})
    claim_slots([(new.id, request, len(new.units)) for new in fresh for request in new.limit_slots])
    record([_held(new) for new in fresh], wall_clock.now())


def _held(new: NewReservation) -> NewEvent:
    data = {"quantity": len(new.units), "amount": new.amount}
    return NewEvent(EventType.RESERVATION_HELD, new.sale, new.channel, new.allocation, new.id, sequence=1, data=data)


def _answer_for(state: str) -> Outcome:
    if state in {ReservationState.HELD, ReservationState.CONFIRMED}:
        return Outcome.RESERVED
    # The reservation was written off before this commit. The gate gives place and key back, so the same key may
    # still win.
    return Outcome.NOT_READY if state == ReservationState.ABANDONED else Outcome.EXPIRED


def commit(reservations: Sequence[NewReservation]) -> dict[uuid.UUID, Outcome]:
    """Commits reservations of one sale; for each RESERVED, or a refusal that left nothing behind.

    Raises Django's Error when the books do not answer: then the outcome of all of them is unknown.
    """
    (sale,) = {new.sale for new in reservations}
    try:
        return _commit(sale, reservations)
    except (IntegrityError, RefusedByBooks):
        # A batch of one is tried again, too, because another process may have committed the same reservation just now.
        return {new.id: _commit_alone(new) for new in reservations}


def _commit_alone(new: NewReservation) -> Outcome:
    try:
        return _commit(new.sale, [new])[new.id]
    except IntegrityError as error:
        return refusal_of(error)
    except UnlikeTerms as refused:
        log.exception("Redis does not say what PostgreSQL says about reservation %s: %s", new.id, refused.detail)
        return refused.outcome
    except RefusedByBooks as refused:
        return refused.outcome
