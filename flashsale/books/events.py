"""Events: what happened is written in the transaction that makes it true, many in one statement.

How a reader misses nothing
---------------------------
PostgreSQL gives an event its id before the commit, so a greater id may be committed earlier. A reader that went on
after the greatest id it has seen would lose the other event. So each writer announces the ids that it may get, and
`horizon` says up to which id all events are there:

    writer   1. takes a shared advisory lock, whose key is the last id that was given
             2. inserts: its ids are greater than this key
             3. commits: the rows are visible, then the lock is gone
    reader   1. reads the last id that was given
             2. reads the smallest key that is locked, because the ids after it may still come
             3. reads the events up to the smaller one of the two

A writer with an id that the reader saw in step 1 has its lock before that. In step 2 either the lock is still there, or
the rows are visible. No lock ever waits for another one, because all are shared. SQLite runs one transaction after
the other, so it needs nothing of this.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max

from flashsale.books.rows import insert
from flashsale.models.event import Event
from flashsale.models.payment import PaymentAttempt, Refund
from flashsale.models.reservation import Reservation
from flashsale.models.unit import Unit
from flashsale.rules.events import EventType, payment_event, refund_event

NOTHING: Mapping[str, Any] = MappingProxyType({})
# The keys of the advisory locks: these two letters, then an id of six bytes.
_ID_BITS = 48
_TAG = int.from_bytes(b"ev")
# Before the first id is given, `last_value` is 1 and `is_called` is false.
_LAST_ID = "(SELECT last_value - (NOT is_called)::int FROM flashsale_event_id_seq)"
_ANNOUNCE = f"SELECT pg_advisory_xact_lock_shared({_TAG << _ID_BITS} | {_LAST_ID})"
_ANNOUNCED = f"""
    SELECT min(((classid::bigint << 32) | objid::bigint) & {(1 << _ID_BITS) - 1}) FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = {_TAG}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""  # noqa: S608 - no input in it


class NewEvent(NamedTuple):
    """An event to write; the fields are those of `Event`. A `sequence` of 0 means: the next one of its object."""

    type: EventType
    sale: int
    channel: int | None = None
    line: int | None = None
    reservation: uuid.UUID | None = None
    unit: int | None = None
    sequence: int = 0
    data: Mapping[str, Any] = NOTHING


def record(events: Sequence[NewEvent], now: datetime) -> None:
    """Writes events, in their order. Call it in the transaction of the change, after the rows have changed.

    The caller holds the locks of the objects, so that one transaction at a time counts the events of an object. If it
    does not, PostgreSQL refuses the second one (IntegrityError).
    """
    assert connection.in_atomic_block, "an event belongs to the transaction of the change that it describes"
    if not events:
        return
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_ANNOUNCE)
    columns: dict[str, Sequence[Any]] = {
        f"{name}_id": [getattr(event, name) for event in events]
        for name in ("sale", "channel", "line", "reservation", "unit")
    }
    columns |= {"type": [event.type.value for event in events], "data": [dict(event.data) for event in events]}
    insert(Event, columns | {"sequence": _sequences(events), "at": [now] * len(events)})


def _sequences(events: Sequence[NewEvent]) -> list[int]:
    uncounted = [event for event in events if not event.sequence]
    last: dict[Any, int] = defaultdict(int)
    if ids := {event.reservation for event in uncounted if event.reservation}:
        last.update(_last_of_reservations(ids))
    if sales := {event.sale for event in uncounted if not event.reservation}:
        counted = Event.objects.filter(sale__in=sales, reservation=None, unit=None)
        last.update(counted.values_list("sale").annotate(Max("sequence")))
    found = []
    for event in events:
        owner = event.reservation or event.sale
        if not event.sequence:
            last[owner] += 1
        found.append(event.sequence or last[owner])
    return found


def _last_of_reservations(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """The last sequence of each reservation. Plain SQL, because it runs with every batch."""
    postgres = connection.vendor == "postgresql"
    which = "= ANY(%s)" if postgres else f"IN ({', '.join(['%s'] * len(ids))})"
    newest = "coalesce((SELECT max(e.sequence) FROM flashsale_event e WHERE e.reservation_id = r.id), 0)"
    query = f"""
        SELECT r.id, {"greatest" if postgres else "max"}({newest}, r.events_deleted)
        FROM flashsale_reservation r WHERE r.id {which}"""  # noqa: S608 - no input in it
    with connection.cursor() as cursor:
        cursor.execute(query, [list(ids)] if postgres else [id_.hex for id_ in ids])
        return {id_ if postgres else uuid.UUID(id_): int(last) for id_, last in cursor.fetchall()}


def of_reservation(row: Reservation, type_: EventType, **data: Any) -> NewEvent:
    """An event of a reservation, or of its review."""
    return NewEvent(type_, row.sale_id, row.channel_id, row.allocation_id, row.pk, data=data)


def of_order(row: Reservation, type_: EventType, **data: Any) -> NewEvent:
    """An event after which a reservation has another state: with its units and its amount."""
    return of_reservation(row, type_, quantity=row.quantity, amount=row.amount, **data)


def of_payment(attempt: PaymentAttempt) -> NewEvent:
    """The event of an attempt to pay that has come into its state."""
    type_ = payment_event(attempt.state)
    data = {"payment": attempt.reference, "method": attempt.method, "amount": attempt.amount}
    return of_reservation(attempt.reservation, type_, **data)


def of_refund(refund: Refund) -> NewEvent:
    """The event of a refund that has come into its state."""
    data = {"refund": refund.reference, "why": str(refund.why), "amount": int(refund.amount)}
    return of_reservation(refund.attempt.reservation, refund_event(refund.state), **data)


def of_move(unit: Unit, *, sale: int, origin: str, target: int) -> NewEvent:
    """The event of a unit that has moved to the line `target` of its sale. The unit is as it was read before.

    `origin` is the code of its line before. The channels of both lines read the event.
    """
    data = {"serial": unit.serial, "sku": unit.sku, "from": origin}
    return NewEvent(EventType.UNIT_MOVED, sale, line=target, unit=unit.pk, sequence=unit.version + 1, data=data)


class Horizon(NamedTuple):
    """`settled`: no event can come any more up to this id. `given`: the last id that a writer got."""

    settled: int
    given: int


def horizon() -> Horizon:
    """Up to which id all events are there (see the head of this file)."""
    if connection.vendor != "postgresql":
        last = Event.objects.aggregate(last=Max("pk"))["last"] or 0
        return Horizon(last, last)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_LAST_ID}")
        (last,) = cursor.fetchone()
        # A statement of its own, because the order of the two reads matters.
        cursor.execute(_ANNOUNCED)
        (announced,) = cursor.fetchone()
    return Horizon(int(last if announced is None else min(last, announced)), int(last))
