"""Clock lease: the line's clock runs for 5 s at a time, and only while Redis and PostgreSQL both answer.

How this works
--------------
Claim windows, holds and the opening hours of a sale run on the line's clock. It must stop while shoppers cannot
reserve, because an outage must not cost them their turn. So the clock runs on a lease, from `since` to `until` (ms,
wall clock of Redis). Both stores keep the lease and compute the same clock (rules/clock.py and gate/lua/prelude.lua):

    line's clock = wall time, not before `since` and not after `until`, less all time that it was stopped (`paused_ms`)

The ticks renew the lease once a second, first in PostgreSQL and then in Redis. Here Redis is away from second 4 to 9:

    wall time       0   1   2   3   4   5   6   7   8   9  10  11  12
    renewals        R   R   R   R                           R   R   R
    last lease                  since...............until
    line's clock    0   1   2   3   4   5   6   7   8   8   8   9  10

* Redis or PostgreSQL does not answer, or no process ticks: no renewal comes. The lease ends, and the clock stops in
  both stores without any message.
* The first renewal afterwards adds the time since `until` to `paused_ms` and starts a new lease. The clock goes on from
  where it stopped.
* The wall clock jumps forward, beyond `until`: this looks like an outage and is handled as one.
* The wall clock jumps back: the line's clock stays at `since` until the next renewal, which starts a new lease.
* A pause ends the lease in PostgreSQL (`Sale.stop_clock`), and a renewal never extends a lease that has ended.
* The memory of Redis goes back in time: PostgreSQL keeps the sale's mark with the lease, and Redis then has a smaller
  one. Redis refuses the lease and all other work, and the next tick rebuilds the sale. Every process compares the
  mark once a second (compare_marks.py).
* A sale is over and has no held units: the lease ends, because nothing depends on this clock any more. When a hold
  comes back (an order whose money came late), the clock goes on.
* A process dies after its commit and before its message to Redis: Redis has the older lease, so its clock stops no
  later than that of PostgreSQL. The next tick sends the new lease.
"""

import logging
import time

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from flashsale.books.events import record
from flashsale.books.reservations import lock_sale
from flashsale.gate import scripts
from flashsale.gate.load import first_mark
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import SaleCard
from flashsale.life import sale_control
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import Clock, Sale
from flashsale.models.sale import moment, ms
from flashsale.rules.clock import CLOCK_LEASE_MS, CLOCK_RENEWAL_MS, ClockLease
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import SaleState

log = logging.getLogger(__name__)


async def renew_clock_lease(*, card: SaleCard, figures: Survey, asked_at: float) -> None:
    """Renews the lease when a second of it is used. Does nothing before the opening, in a pause, and after the end.

    `figures` have just been read from Redis, so Redis answers. `asked_at` is when this process asked for them
    (monotonic clock, in seconds). On a busy machine the answer may wait in the process for seconds, and another process
    may renew the lease meanwhile. If the age of `wall` did not count from `asked_at`, this lease would look as if the
    wall clock had gone back, and the clock of the line would run ahead.
    """
    if figures.state == SaleState.PAUSED or (figures.wall < card.opens_at and not figures.runs_until):
        return
    if ended_without_holds(card, figures):
        return
    if CLOCK_LEASE_MS - CLOCK_RENEWAL_MS < figures.runs_until - figures.wall <= CLOCK_LEASE_MS + CLOCK_RENEWAL_MS:
        return
    revision, lease, mark = await run_in_db_thread(_renew_in_books, card.sale, figures.wall, figures.mark, asked_at)
    answer = await scripts.extend_lease(card, revision=revision, lease=lease, mark=mark)
    if answer is Outcome.NOT_READY:
        await sale_control.resend_decision(card=card)


def ended_without_holds(card: SaleCard, figures: Survey) -> bool:
    """Whether the sale is over and its line has no held units. Its clock has run, so it does not open again."""
    ended = figures.now >= card.closes_at or figures.state in {SaleState.CALLED_OFF, SaleState.CLOSED}
    return ended and figures.runs_until > 0 and figures.held == 0


def _renew_in_books(sale: int, wall_ms: int, mark: int, asked_at: float) -> tuple[int, ClockLease, int]:
    """Renews the lease in PostgreSQL. Returns the sale's revision, the lease and the mark as they stand there now.

    `wall_ms` was asked for at `asked_at` (monotonic clock). The time since then is added, because a process that waited
    for PostgreSQL would otherwise believe that the wall clock has gone back.
    """
    now_ms = _wall_now(wall_ms, asked_at)
    # Extends the lease only if it has not ended. An ended lease may belong to a pause: `_restart_clock` finds out under
    # the lock of the sale's row.
    running = Clock.objects.filter(runs_from_ms__lte=now_ms + CLOCK_RENEWAL_MS, runs_until_ms__gte=wall_ms)
    running = running.filter(sale=sale, runs_until_ms__gt=F("runs_from_ms"))
    longest = {"runs_from_ms": wall_ms, "runs_until_ms": wall_ms + CLOCK_LEASE_MS, "mark": mark}
    if not running.update(**{name: Greatest(name, value) for name, value in longest.items()}):
        _restart_clock(sale, wall_ms, asked_at)
    row = Sale.objects.select_related("clock").get(pk=sale)
    return row.revision, row.lease, max(row.mark, first_mark(row.epoch))


def _wall_now(wall_ms: int, asked_at: float) -> int:
    """The wall clock of Redis now, in ms, when it showed `wall_ms` at `asked_at` or a little later."""
    return wall_ms + int((time.monotonic() - asked_at) * 1000)


@transaction.atomic
def _restart_clock(sale: int, wall_ms: int, asked_at: float) -> None:
    """Starts a new lease if the clock has never run, if its lease has ended, or if the wall clock has gone back."""
    lock_sale(sale, exclusive=True)
    row = Sale.objects.get(pk=sale)
    # Waiting for the lock takes time. Another process may have started the clock meanwhile.
    wall_ms, lease = _wall_now(wall_ms, asked_at), row.lease
    # Redis may still have the old opening when an admin has just moved it.
    too_soon = not lease.until and wall_ms < ms(row.opens_at)
    if row.state == SaleState.PAUSED or too_soon or lease.is_running(wall_ms):
        return
    if (back_ms := lease.since - wall_ms) > CLOCK_RENEWAL_MS:
        log.error(
            "the wall clock of Redis went back by %d ms; the clock of %s goes on from its last lease", back_ms, row
        )
    elif lease.since < lease.until:
        log.warning("the clock of %s had stopped and goes on after %d ms", row, wall_ms - lease.until)
    record(sale_control.opened_events(row), moment(wall_ms))
    row.run_clock(wall_ms, for_ms=CLOCK_LEASE_MS)
    row.revision += 1
    row.save(update_fields=["paused_ms", "revision"])
