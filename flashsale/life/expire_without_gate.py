"""Expire without the gate: holds end in the books (PostgreSQL) at their deadline, even if the gate (Redis) is away.

How this works
--------------
The reaper (expire.py) asks Redis which holds are due. While Redis is away, it gets no answer, and the line's clock
stops (clock_lease.py), so that an outage takes no time from claim windows. But a buyer can pay without Redis, and a
Redis that cannot start may stay away for hours. So for holds the time goes on as long as PostgreSQL answers:

    time of holds = line's clock where it stopped + how long this process has seen it stopped while PostgreSQL answered

* Each web process looks every 5 s at the clocks of all sales. A clock whose lease has changed since the last look runs.
* PostgreSQL or the process itself was away: the process begins to count anew. An outage in which people could not
  pay ends no hold.
* A paused sale: its holds wait for the end of the pause.
* Redis learns of these ends when it is back: from a rebuild, from mending (give_back.resend_ended), or from the reaper.

In normal times the reaper is faster, and this finds nothing.
"""

import logging
import time
from collections.abc import Callable, Iterator
from uuid import UUID

from django.db import IntegrityError, OperationalError, connection, transaction

from flashsale.books.endings import end_all
from flashsale.books.reservations import RefusedByBooks, lock_sale
from flashsale.models import Clock, Reservation
from flashsale.rules import wall_clock
from flashsale.rules.clock import CLOCK_LEASE_MS
from flashsale.rules.states import ReservationState, SaleState

log = logging.getLogger(__name__)
LOOK_S = 5.0
# With fewer looks than this, PostgreSQL or this process was away.
LOOK_S_MAX = 3 * LOOK_S
# The reaper, which waits for HOLD_GRACE_MS_MAX, has so much time to be first. A hold ends within a minute of its
# deadline.
GRACE_MS = 20_000
AT_ONCE = 100


class Watch:
    """What one process has seen of the clocks of all sales: by sale, the clock and since when it is the same."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: dict[int, tuple[tuple[int, int], float]] = {}
        self._looked_at = 0.0

    def times_of_holds(self) -> dict[int, int]:
        """By sale, the time of its holds (ms on the line's clock), never later than the true one."""
        now = self._monotonic()
        seen = self._seen if now - self._looked_at <= LOOK_S_MAX else {}
        clocks = Clock.objects.filter(runs_until_ms__gt=0).exclude(sale__state=SaleState.PAUSED)
        rows = clocks.values_list("sale", "runs_until_ms", "sale__paused_ms")
        fresh = {sale: ((until, paused), now) for sale, until, paused in rows}
        self._seen = {
            sale: seen[sale] if sale in seen and seen[sale][0] == clock else (clock, since)
            for sale, (clock, since) in fresh.items()
        }
        self._looked_at = now
        # A clock stands at the end of its lease. It may have been renewed just now, so a whole lease may be left.
        return {
            sale: until - paused - CLOCK_LEASE_MS + int((now - since) * 1000)
            for sale, ((until, paused), since) in self._seen.items()
        }


WATCH = Watch()


def expire_without_gate() -> int:
    """Ends the holds whose deadline has passed by more than GRACE_MS; returns how many. Asks only PostgreSQL.

    Safe to repeat and to run in two processes, because each skips the rows that the other has locked.
    """
    times = WATCH.times_of_holds()
    held = Reservation.objects.filter(state=ReservationState.HELD, sale__in=times)
    done = 0
    for sale in list(held.order_by().values_list("sale", flat=True).distinct()):
        try:
            done += sum(_end(sale, ids) for ids in _batches(sale, times[sale] - GRACE_MS))
        except OperationalError as error:
            log.warning("the holds of sale %s cannot be ended yet: %s", sale, error)
    if done:
        log.warning("%d holds ended in PostgreSQL alone, because Redis did not report them as due", done)
    return done


def _batches(sale: int, until_ms: int) -> Iterator[list[UUID]]:
    due = Reservation.objects.filter(sale=sale, state=ReservationState.HELD, deadline_ms__lte=until_ms)
    ids = list(due.order_by("deadline_ms").values_list("pk", flat=True))
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


def _end(sale: int, ids: list[UUID]) -> int:
    """Ends the holds among these that are not locked. If the tables refuse a batch, each hold is ended alone."""
    try:
        with transaction.atomic():
            _wait_briefly()
            lock_sale(sale)
            rows = Reservation.objects.select_for_update(skip_locked=True).filter(pk__in=ids)
            due = list(rows.filter(state=ReservationState.HELD).order_by("pk"))
            return len(end_all(due, state=ReservationState.EXPIRED, now=wall_clock.now()))
    except (IntegrityError, RefusedByBooks):
        if len(ids) == 1:
            log.exception("a hold cannot be ended: %s", ids[0])
            return 0
    return sum(_end(sale, [id_]) for id_ in ids)


def _wait_briefly() -> None:
    """A sale whose row is locked for long must not delay the holds of the others."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '500ms'")
