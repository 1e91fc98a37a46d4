"""Beat: gate and books have answered together, so the line's clock may run on for a moment.

Nobody can reserve while either is away or nobody looks after the sale. Then no beat comes, and the clock stops by
itself, in both: claim windows and holds cost nobody their place. The first beat after it lets the clock go on from
where it stopped. A wall clock that jumps is met by the same: forward it looks like an outage, backward the
line's clock stays at the last beat until the next one has found out.
"""

import logging
import time

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from flashsale.books.reservations import lock_sale
from flashsale.gate import scripts
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import SaleCard
from flashsale.life import sale_control
from flashsale.life.db_threads import in_books
from flashsale.models import Clock, Sale
from flashsale.models.sale import ms
from flashsale.rules.clock import CLOCK_LEASE_MS, CLOCK_RENEWAL_MS, ClockLease
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import SaleState

log = logging.getLogger(__name__)


async def beat(*, card: SaleCard, figures: Survey) -> None:
    """Lets the clock run for a few seconds more, once a second; before the opening and in a pause there is no need.

    If we die between books and gate, the gate's clock stops, and the next beat tells it.
    """
    seen_at = time.monotonic()
    if figures.state == SaleState.PAUSED or (figures.wall < card.opens_at and not figures.runs_until):
        return
    if CLOCK_LEASE_MS - CLOCK_RENEWAL_MS < figures.runs_until - figures.wall <= CLOCK_LEASE_MS + CLOCK_RENEWAL_MS:
        return
    revision, lease = await in_books(_beat, card.sale, figures.wall, seen_at)
    answer = await scripts.beat(card, revision=revision, lease=lease)
    if answer is Outcome.NOT_READY:
        await sale_control.tell_again(card=card)


def _beat(sale: int, wall_ms: int, seen_at: float) -> tuple[int, ClockLease]:
    """Revision of the sale in the books, and how long its clock may run there.

    The wall clock was seen at `seen_at` (monotonic): somebody who had to wait for the books takes none for gone back.
    """
    now_ms = _since(wall_ms, seen_at)
    # Only a clock that runs runs on by this: one that was stopped meanwhile may stand for a pause.
    running = Clock.objects.filter(runs_from_ms__lte=now_ms + CLOCK_RENEWAL_MS, runs_until_ms__gte=wall_ms)
    running = running.filter(sale=sale, runs_until_ms__gt=F("runs_from_ms"))
    longest = {"runs_from_ms": wall_ms, "runs_until_ms": wall_ms + CLOCK_LEASE_MS}
    if not running.update(**{name: Greatest(name, value) for name, value in longest.items()}):
        _start(sale, wall_ms, seen_at)
    row = Sale.objects.select_related("clock").get(pk=sale)
    return row.revision, row.lease


def _since(wall_ms: int, seen_at: float) -> int:
    """What the wall clock shows by now."""
    return wall_ms + int((time.monotonic() - seen_at) * 1000)


@transaction.atomic
def _start(sale: int, wall_ms: int, seen_at: float) -> None:
    """The clock of an open sale has never run, or has stopped, or the wall clock has gone back."""
    lock_sale(sale, exclusive=True)
    row = Sale.objects.get(pk=sale)
    # By now somebody else may have started it.
    wall_ms, lease = _since(wall_ms, seen_at), row.lease
    # Whoever sends the first beat may not have heard yet that the opening was moved.
    too_soon = not lease.until and wall_ms < ms(row.opens_at)
    if row.state == SaleState.PAUSED or too_soon or lease.is_running(wall_ms):
        return
    if (back_ms := lease.since - wall_ms) > CLOCK_RENEWAL_MS:
        log.error("the gate's wall clock went back by %d ms; the clock of %s goes on from its last beat", back_ms, row)
    elif lease.since < lease.until:
        log.warning("the clock of %s had stopped and goes on after %d ms", row, wall_ms - lease.until)
    row.run_on(wall_ms, for_ms=CLOCK_LEASE_MS)
    row.revision += 1
    row.save(update_fields=["paused_ms", "revision"])
