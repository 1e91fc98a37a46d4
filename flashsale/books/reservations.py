"""The writer: commits the reservations that the gate has decided, many of a sale in one transaction (writers.py).

A batch that the tables refuse is taken apart and committed one by one, so that a bad row refuses one reservation only.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from django.db import IntegrityError, connection, transaction

from flashsale.books.rows import insert
from flashsale.models.limit_slot import LimitSlot
from flashsale.models.reservation import Reservation, ReservationUnit
from flashsale.models.sale import moment
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import ReservationState, SaleState, UnitState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A unit as the gate gave it out: the books take it only at this version."""

    unit: int
    version: int
    sku: str
    price: int


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """Slots wanted on one axis of one limit."""

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
    units: tuple[Taken, ...]
    limit_slots: tuple[SlotRequest, ...]
    made_ms: int
    deadline_ms: int

    @property
    def amount(self) -> int:
        """What the buyer will pay, in whole units of the currency."""
        return sum(unit.price for unit in self.units)

    @property
    def made_at(self) -> datetime:
        """When it was made, on the line's clock."""
        return moment(self.made_ms)


class RefusedByBooks(Exception):
    """The tables refuse; `outcome` is the word for it."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(outcome, detail)
        self.outcome = outcome
        self.detail = detail


# Which lie each constraint refuses. SQLite names the columns instead of a unique constraint.
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
}


def refusal_of(error: IntegrityError) -> Outcome:
    """The word for a constraint that refused; raises the error itself when the constraint has none."""
    text = str(error)
    for name, outcome in REFUSALS.items():
        if name in text:
            return outcome
    raise error


def lock_sale(sale: int, *, exclusive: bool = False, made_at: datetime | None = None) -> tuple[int, str]:
    """The sale's epoch and state, its row locked until the transaction ends; SQLite's transactions are exclusive.

    A published sale that had closed at `made_at`, on the line's clock, counts as closed.
    """
    lock = "" if connection.vendor == "sqlite" else (" FOR UPDATE" if exclusive else " FOR SHARE")
    wanted = f"SELECT epoch, state, closes_at <= %s FROM flashsale_sale WHERE id = %s{lock}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(wanted, [connection.ops.adapt_datetimefield_value(made_at), sale])
        epoch, state, over = cursor.fetchone()
    return int(epoch), str(SaleState.CLOSED if over and state == SaleState.PUBLISHED else state)


def advance_units(units: Iterable[tuple[int, int]], *, was: UnitState, becomes: UnitState) -> None:
    """Moves units (id, version) on by compare-and-set; raises RefusedByBooks when one is not as it was."""
    _advance({"id": "bigint", "version": "int"}, sorted(units), was=was, becomes=becomes)


def take_units(winners: Iterable[NewReservation]) -> None:
    """Holds the winners' units: each must be free, at its version, and in the line that it was taken from."""
    rows = sorted((unit.unit, unit.version, winner.allocation) for winner in winners for unit in winner.units)
    columns = {"id": "bigint", "version": "int", "allocation_id": "bigint"}
    _advance(columns, rows, was=UnitState.FREE, becomes=UnitState.HELD)


def _advance(
    columns: Mapping[str, str], rows: Sequence[tuple[int, ...]], *, was: UnitState, becomes: UnitState
) -> None:
    if not rows:
        return
    # The state goes along row by row: as one condition for all, an index of all free units looks cheap and is not.
    columns, wanted = {**columns, "state": "varchar"}, [(*row, was.value) for row in rows]
    names, arrays = ", ".join(columns), [list(column) for column in zip(*wanted, strict=True)]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            marks = ", ".join(f"%s::{kind}[]" for kind in columns.values())
            which = f"id = ANY(%s::bigint[]) AND ({names}) IN (SELECT * FROM unnest({marks}))"  # noqa: S608
            values: list[Any] = [arrays[0], *arrays]
        else:
            mark = f"({', '.join(['%s'] * len(columns))})"
            which = f"({names}) IN (VALUES {', '.join([mark] * len(rows))})"
            values = [value for row in wanted for value in row]
        cursor.execute(
            f"UPDATE flashsale_unit SET state = %s, version = version + 1 WHERE {which}",  # noqa: S608
            [becomes.value, *values],
        )
        if cursor.rowcount != len(rows):
            raise RefusedByBooks(Outcome.OFFER_GONE, f"{cursor.rowcount} of {len(rows)} units were {was.value}")


def claim_slots(limit_slots: Sequence[tuple[uuid.UUID, SlotRequest, int]]) -> None:
    """Takes the lowest free slots for (reservation, claim, quantity); sorted, so that no two batches deadlock."""
    taken: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    # A limit of one leaves nothing to choose: the table refuses whoever comes second.
    if digests := {ask.digest for _, ask, _ in limit_slots if ask.limit > 1}:
        for row in LimitSlot.objects.filter(digest__in=digests).values_list("scope", "axis", "digest", "slot"):
            taken[row[:3]].add(row[3])
    rows = []
    for reservation, ask, quantity in limit_slots:
        used = taken[ask.scope, ask.axis, ask.digest]
        for _ in range(quantity):
            slot = next(slot for slot in count(1) if slot not in used)
            used.add(slot)
            rows.append((ask.scope, ask.axis, ask.digest, slot, ask.limit, reservation))
    if rows:
        names = ("scope", "axis", "digest", "slot", "limit", "reservation_id")
        insert(LimitSlot, dict(zip(names, zip(*sorted(rows), strict=True), strict=True)))


def _known(reservations: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The state of those reservations that are in the books; asked with every batch, hence not through the models."""
    postgres = connection.vendor == "postgresql"
    marks = ", ".join(["%s"] * len(reservations))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, state FROM flashsale_reservation WHERE id IN ({marks})",  # noqa: S608
            [id_ if postgres else id_.hex for id_ in reservations],
        )
        return {id_ if postgres else uuid.UUID(id_): str(state) for id_, state in cursor.fetchall()}


def _commit(sale: int, winners: Sequence[NewReservation]) -> dict[uuid.UUID, Outcome]:
    with transaction.atomic():
        epoch, state = lock_sale(sale, made_at=max(w.made_at for w in winners))
        known = _known([w.id for w in winners])
        answers = {id_: _answer_for(state) for id_, state in known.items()}
        fresh = sorted((w for w in winners if w.id not in known), key=lambda w: w.id)  # two batches may share some
        if fresh and state != SaleState.PUBLISHED:
            raise RefusedByBooks(Outcome.PAUSED if state == SaleState.PAUSED else Outcome.CLOSED, state)
        if any(w.epoch != epoch for w in fresh):
            raise RefusedByBooks(Outcome.NOT_READY, f"the books are in epoch {epoch}")
        if fresh:
            _write(fresh)
    return answers | {w.id: Outcome.RESERVED for w in fresh}


def _write(winners: Sequence[NewReservation]) -> None:
    same = ["index", "number", "asked", "fingerprint", "amount", "epoch", "deadline_ms", "made_at", "id"]
    columns = {name: [getattr(w, name) for w in winners] for name in same}
    columns |= {f"{name}_id": [getattr(w, name) for w in winners] for name in ("sale", "allocation", "channel")}
    columns |= {"quantity": [len(w.units) for w in winners], "state": [ReservationState.HELD.value] * len(winners)}
    insert(Reservation, columns)
    taken = [(w.id, unit) for w in winners for unit in w.units]
    take_units(winners)
    columns = {"reservation_id": [id_ for id_, _ in taken], "unit_id": [unit.unit for _, unit in taken]}
    columns |= {name: [getattr(unit, name) for _, unit in taken] for name in ("sku", "price")}
    insert(ReservationUnit, columns | {"active": [True] * len(taken)})
    claim_slots([(w.id, ask, len(w.units)) for w in winners for ask in w.limit_slots])


def _answer_for(state: str) -> Outcome:
    if state in {ReservationState.HELD, ReservationState.CONFIRMED}:
        return Outcome.RESERVED
    # Somebody gave up on it before it was committed: the gate gives place and key back, and the same key may win yet.
    return Outcome.NOT_READY if state == ReservationState.ABANDONED else Outcome.EXPIRED


def commit(winners: Sequence[NewReservation]) -> dict[uuid.UUID, Outcome]:
    """What the books say to each winner of a sale: reserved (committed), or a refusal that left nothing behind.

    Raises Django's Error when the books do not answer: then the outcome of all of them is unknown.
    """
    (sale,) = {winner.sale for winner in winners}
    try:
        return _commit(sale, winners)
    except (IntegrityError, RefusedByBooks):
        # Also one that was alone: somebody may have committed the very same at this moment.
        return {winner.id: _commit_alone(winner) for winner in winners}


def _commit_alone(winner: NewReservation) -> Outcome:
    try:
        return _commit(winner.sale, [winner])[winner.id]
    except IntegrityError as error:
        return refusal_of(error)
    except RefusedByBooks as refused:
        return refused.outcome
