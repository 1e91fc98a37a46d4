"""Events: a partner reads what has happened in its channel, in order and without a gap, for a month."""

import re
import uuid
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Min, Q, QuerySet
from django.utils import timezone

from flashsale.books.events import horizon
from flashsale.books.rows import update
from flashsale.models import Allocation, Event, Reservation
from flashsale.models.sale import ms
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Outcome, Refused

KEPT = timedelta(days=30)
# Events are deleted a day after cursors to them end, so that a page which is read at this moment has no gap.
DELETED_AFTER = KEPT + timedelta(days=1)
# Longer than any transaction that writes events.
COMMITTED_WITHIN = timedelta(minutes=1)
# A cursor of another process may be this much younger than our clock says.
CLOCKS_DIFFER = timedelta(minutes=1)
CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,15})")
BEGIN_AGAIN = "Read your reservations, and then the events from the beginning, without `after`."


class ChannelEvent(NamedTuple):
    """An event as partners read it; `sale` and `line` are codes. The feed does not show `unit`."""

    id: int
    type: str
    at: datetime
    sale: str
    line: str | None
    reservation: uuid.UUID | None
    sequence: int
    data: dict[str, Any]
    unit: int | None

    @property
    def subject(self) -> str:
        """What the event happened to. The events of a subject are in the order of their ids."""
        return str(self.reservation or (f"unit:{self.unit}" if self.unit else f"sale:{self.sale}"))


class EventPage(NamedTuple):
    """Events, the oldest first. `after` is the cursor for the next page; `more`: the next page has events already."""

    events: list[ChannelEvent]
    after: str
    more: bool


class _Cursor(NamedTuple):
    """All events up to this id are read; all that are missing are younger than the time (ms since 1970)."""

    id: int
    at_ms: int

    def __str__(self) -> str:
        return f"{self.id}-{self.at_ms}"


def read_events(*, channel: int, after: str, limit: int) -> EventPage:
    """The next events of a channel after a cursor ("": from the oldest). An event waits until all older ones are there.

    Refuses MALFORMED, and NOT_FOUND for a cursor behind which events may be deleted, or that we did not give.
    """
    now = timezone.now()
    known = horizon()
    cursor = _read(after) if after else _Cursor(0, ms(now))
    is_ours = cursor.id <= known.given and cursor.at_ms <= ms(now + CLOCKS_DIFFER)
    if cursor.at_ms < ms(now - KEPT) or not is_ours:
        raise Refused(Outcome.NOT_FOUND, f"after: this cursor is not valid any more. {BEGIN_AGAIN}")
    events, more = events_between(channel=channel, after=cursor.id, up_to=known.settled, limit=limit)
    # A slow writer may announce an id that this reader has passed already, so the cursor never goes back.
    passed = _Cursor(max(known.settled, cursor.id), ms(now))
    return EventPage(events, str(_Cursor(events[-1].id, ms(events[-1].at)) if more else passed), more)


def events_between(*, channel: int, after: int, up_to: int, limit: int) -> tuple[list[ChannelEvent], bool]:
    """The events of a channel with these ids, the oldest first, and whether there are more than `limit`.

    `up_to` must not be greater than the horizon, because an event with a smaller id may be missing then.
    """
    rows = Event.objects.filter(pk__gt=after, pk__lte=up_to, at__gte=timezone.now() - KEPT).order_by("pk")
    parts = (rows.filter(channel=channel), _common(rows, channel))
    found = sorted((row for part in parts for row in _read_rows(part, limit + 1)), key=lambda row: row.id)
    return found[:limit], len(found) > limit


def events_by_id(ids: Collection[int]) -> dict[int, ChannelEvent]:
    """The events with these ids, except those that are deleted."""
    return {row.id: row for row in _read_rows(Event.objects.filter(pk__in=ids), len(ids))}


def first_event_since(*, channel: int, since: datetime) -> int | None:
    """The id of the channel's first event since a time; None if there is none."""
    rows = Event.objects.filter(at__gte=since)
    parts = (rows.filter(channel=channel), _common(rows, channel))
    return min((id_ for part in parts if (id_ := part.aggregate(first=Min("pk"))["first"])), default=None)


def _read(after: str) -> _Cursor:
    found = CURSOR.fullmatch(after)
    if found is None:
        raise Refused(Outcome.MALFORMED, "after: the value of `after` in an answer.")
    return _Cursor(int(found[1]), int(found[2]))


def _common(rows: "QuerySet[Event]", channel: int) -> "QuerySet[Event]":
    """The events of sales and lines that lead to the channel."""
    lines = list(Allocation.objects.filter(channels=channel).values_list("pk", "sale", "code"))
    of_lines = Q(line__in=[line for line, _, _ in lines])
    of_sales = Q(line=None, sale__in={sale for _, sale, _ in lines})
    # A unit that moves leaves one line and comes to another one, and both must know.
    for _, sale, code in lines:
        of_lines |= Q(type=EventType.UNIT_MOVED, sale=sale, data__from=code)
    return rows.filter(of_lines | of_sales, channel=None)


def _read_rows(rows: "QuerySet[Event]", most: int) -> Iterator[ChannelEvent]:
    columns = ("pk", "type", "at", "sale__code", "line__code", "reservation", "sequence", "unit", "data")
    attached = ("reservation__partner_reference", "reservation__metadata")
    for *row, unit, data, reference, metadata in rows.values_list(*columns, *attached)[:most]:
        yield ChannelEvent._make([*row, data | with_attached(reference, metadata), unit])


def with_attached(reference: str | None, metadata: dict[str, str] | None) -> dict[str, Any]:
    """The members of an event's data that say what the partner attached to the reservation.

    They are read with the event and not stored in it, because the erasure of a campaign deletes them.
    """
    found = {"partner_reference": reference, "metadata": metadata}
    return {name: value for name, value in found.items() if value}


def changed_since(*, channel: int, at: datetime) -> "QuerySet[Event, Any]":
    """The ids of the channel's reservations that have an event since this time, or up to a minute before it.

    The minute is for a transaction that has written its events and was still open at this time. Refuses MALFORMED for a
    time for which events are deleted already.
    """
    if at < timezone.now() - KEPT:
        raise Refused(Outcome.MALFORMED, f"updated_after: at most {KEPT.days} days ago. Without it, you read all.")
    rows = Event.objects.filter(channel=channel, reservation__isnull=False, at__gte=at - COMMITTED_WITHIN)
    return rows.values_list("reservation", flat=True)


@transaction.atomic
def forget_events(*, most: int = 1000) -> int:
    """Deletes the oldest events that are over, of `most`; returns how many. The few events of sales stay."""
    before = timezone.now() - DELETED_AFTER
    oldest = Event.objects.exclude(reservation=None, unit=None).order_by("pk")[:most]
    over = [row for row in oldest.values_list("pk", "reservation", "sequence", "at") if row[3] < before]
    orders = Reservation.objects.select_for_update().order_by("pk").in_bulk({row[1] for row in over if row[1]})
    for _, reservation, sequence, _ in over:
        if reservation in orders:
            orders[reservation].events_deleted = max(orders[reservation].events_deleted, sequence)
    if orders:
        deleted = [order.events_deleted for order in orders.values()]
        update(Reservation, "id", {"id": list(orders), "events_deleted": deleted})
    return Event.objects.filter(pk__in=[row[0] for row in over]).delete()[0]
