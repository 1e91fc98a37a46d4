"""Tick: a few times a second, each web process does what is due in the running sales, without Celery.

A tick renews the clock lease, draws the lines, calls people, ends holds, rolls units over and closes the sale. All web
processes run the same loop. Redis knows when each sale is due, and gives a due sale to one process (due_sales.py). A
running sale is due every 200 ms, and each step is safe to repeat. A sale with nothing to do is due once a minute, when
its opening comes, when a shopper uses it, and when an admin decides about it.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial

from django.db import Error, InterfaceError, OperationalError

from flashsale import metrics
from flashsale.gate import bridge, due_sales, quotas, refusal_counts, sale_cards, scripts, untrusted_peers
from flashsale.gate import metrics as gate_metrics
from flashsale.gate.client import GateCache, GateDown
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import alarms, expire, failed_tries, inbox, key_use, samples, send_codes
from flashsale.life.clock_lease import ended_without_holds, renew_clock_lease
from flashsale.life.close import close
from flashsale.life.compare_marks import MARKS_S, compare_marks
from flashsale.life.crowd_backup import BACKUP_S, back_up_crowd
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.draw import draw, waited_too_long
from flashsale.life.expire_without_gate import LOOK_S, expire_without_gate
from flashsale.life.extra_time import kept_claims
from flashsale.life.index_blocks import extend_block
from flashsale.life.measure_clock import MEASURE_S, measure_clock
from flashsale.life.mend_sales import mend_sales
from flashsale.life.rebuild import rebuild_after_loss, rebuild_campaign, rebuild_missing_sales
from flashsale.life.roll_over import roll_over
from flashsale.life.sale_control import call_off_without_beacon
from flashsale.life.single_flight import SingleFlight
from flashsale.life.status import kept_pace, phase_of
from flashsale.models import Allocation
from flashsale.models.draw_secret import SecretUnreadable
from flashsale.rules import calling, polling
from flashsale.rules.due import FAR_MS, OPEN_MS, ms_to_next_look
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import Phase, SaleState

log = logging.getLogger(__name__)

TICK_S = 0.25
# Enough for all sales that run at once. The rest waits for the next round, which follows at once.
SALES_AT_ONCE = 64
SEND_CODES_S = 1.0
SHARE_QUOTAS_S = 1.0
NOTE_PEERS_S = 5.0
# What a process did not send to Redis before it died is sent within ten seconds. Mending passes over the orders of the
# last second, because their messages may be on their way. The process that died may have begun the last mending. So the
# three add up: a second, the period, and the time until a process sees that the period is over.
MEND_S, MEND_LOOK_S = 7.0, 1.0
# Counting a large stock takes a while, and without a change there is nothing to find.
COMPARE_S = 600.0
# A Redis that lost everything plans no tick, and requests get the answer that there is no such sale.
FIND_MISSING_S = 1.0
# A sale that is frozen waits for its tree of entries, or for its beacon.
WAITING_MS = 500
ENDED = frozenset({SaleState.CALLED_OFF, SaleState.CLOSED})
CLOSE_AFTER_MS = int(sale_cards.KEPT_AFTER_END.total_seconds() * 1000)
# By sale code.
TICKING: GateCache[str, SingleFlight] = GateCache()


async def tick_sale(*, card: SaleCard) -> int:
    """Does what is due in one sale. Safe at any moment, and in several processes at once.

    Returns in how many ms the sale is due again.
    """
    held, changing = 0, False
    for line in card.lines:
        asked_at = time.monotonic()
        answer = await scripts.survey(card, line)
        if isinstance(answer, Outcome):
            # This Redis server does not know the sale, because it was restarted or replaced: load it from PostgreSQL.
            await rebuild_campaign(card=card)
            return 0
        figures = answer
        if figures.seed or not card.commits_entries:
            # Reserving is impossible before the draw, so the clock of a sale that waits for its beacon does not start.
            await renew_clock_lease(card=card, figures=figures, asked_at=asked_at)
        await extend_block(card=card, line=line, figures=figures)
        changing |= await back_up_crowd(card=card, line=line, figures=figures)
        if figures.wall >= card.freezes_at and not figures.seed:
            if figures.state not in ENDED or not card.commits_entries:
                await draw(card=card)
        elif phase_of(card, figures) is Phase.OPEN and figures.now >= line.opens_at:
            if line.rolls_over_at and figures.now >= line.rolls_over_at:
                await roll_over(card=card, line=line, figures=figures)
            else:
                await _call_people(card, line, figures)
        held += figures.held
    await expire.expire(card=card)
    if waited_too_long(card, figures) and figures.state not in ENDED:
        await run_in_db_thread(call_off_without_beacon, sale=card.sale)
    if _ended_ms_ago(card, figures) > CLOSE_AFTER_MS:
        await run_in_db_thread(close, sale=card.sale)
    return _ms_to_next_look(card, figures, held=held, changing=changing)


def _ms_to_next_look(card: SaleCard, figures: Survey, *, held: int, changing: bool) -> int:
    waits = card.commits_entries and not figures.seed
    next_step = card.freezes_at if waits else card.opens_at
    in_ms = ms_to_next_look(phase=phase_of(card, figures), wall=figures.wall, opens_at=next_step, held=held)
    if waits and figures.frozen and figures.state not in ENDED:
        return WAITING_MS
    if changing:
        return min(in_ms, round(BACKUP_S * 1000))
    # Sales that were loaded together must not all be due at once, minute after minute.
    return in_ms if in_ms < FAR_MS else round(in_ms * random.uniform(0.7, 1.0))  # noqa: S311 - not a secret


def _ended_ms_ago(card: SaleCard, figures: Survey) -> int:
    """How long ago the sale has ended, negative before. The clock of a sale that is over may stand (clock_lease.py)."""
    stood = figures.wall - figures.runs_until if ended_without_holds(card, figures) else 0
    return figures.now + max(0, stood) - card.closes_at


async def _call_people(card: SaleCard, line: LineCard, figures: Survey) -> None:
    # The first call of a line may call as many people as the rate allows in one second.
    since_ms = figures.now - figures.called_at if figures.called_at else 1000
    people = calling.people_to_call(
        free=sum(figures.free.values()), open_claims=kept_claims(card, figures),
        waiting=max(0, figures.entered - figures.called - figures.left), expected=figures.expected,
        overbooking=card.overbooking, claims_cap=card.claims_max or card.max_entries,
        rate_left=calling.calls_allowed(rate_per_s=card.rate_per_s, since_ms=since_ms),
    )  # fmt: skip
    if not people or figures.called >= figures.entered or _is_too_soon(card, line, figures):
        return
    # Sleeping shoppers rely on it that no number beyond this is called (rules/polling.py).
    pace = kept_pace(card, line, figures)
    upto = polling.reach(called=figures.called, pace=pace, since_ms=since_ms) if pace else 0
    called = await scripts.call(
        card, line, seed=figures.seed, called=figures.called, people=people, removed=figures.removed, upto=upto
    )
    if isinstance(called, int) and called > figures.called:
        await run_in_db_thread(_store_called, line.id, called)


def _is_too_soon(card: SaleCard, line: LineCard, figures: Survey) -> bool:
    """Whether the people of a large crowd still read their numbers, right after the opening."""
    # People who enter after the opening do not count: they get their number when they enter.
    delay = polling.first_call_delay_ms(people=figures.cohort or 0, claim_ms=card.claim_ms)
    return not figures.called and figures.now < max(card.opens_at, line.opens_at) + delay


def _store_called(allocation: int, called: int) -> None:
    Allocation.objects.filter(pk=allocation, called__lt=called).update(called=called)


async def tick_all() -> None:
    """One tick of every sale that is due, except those that another process has just taken.

    An error in one sale does not stop the others. An unexpected error is raised at the end.
    """
    while due := await due_sales.take_due(most=SALES_AT_ONCE):
        results = await asyncio.gather(*(_tick_one(code, score) for code, score in due), return_exceptions=True)
        for error in results:
            if error is not None:
                raise error
        if len(due) < SALES_AT_ONCE:
            break
    metrics.sign("tick")


async def _tick_one(code: str, score: int) -> None:
    # A tick may hang, at a locked row or during a rebuild. That must not stop the clocks of the other sales.
    running = TICKING.entries().setdefault(code, SingleFlight())
    try:
        await running.run(partial(_tick, code, score))
    except (GateDown, Error, TimeoutError) as error:
        log.warning("tick of %s failed, and is tried again: %s", code, error)
    except SecretUnreadable as error:
        # Another server may have the right key, and the other sales must go on.
        log.error("%s is not drawn: %s", code, error)  # noqa: TRY400 - the text says all, and it repeats


async def _tick(code: str, score: int) -> None:
    card = await sale_cards.card_of(code)
    if card is None:
        await due_sales.forget(code)
        return
    try:
        in_ms = await tick_sale(card=card)
    except Error:
        # PostgreSQL does not answer. Without this, another process would try again only after LOOK_MS.
        await due_sales.look_again(code, in_ms=OPEN_MS, score=score)
        raise
    await due_sales.look_again(code, in_ms=in_ms, score=score)


async def mend_all(*, whole: bool = True) -> None:
    """Loads sales that Redis lacks, and sends again what it has not received of the others.

    A process may die after its commit in PostgreSQL and before its message to Redis. This finds what was not sent.
    Without `whole`, stock is compared only where something has changed lately.
    """
    await rebuild_missing_sales()
    await due_sales.add_missing()
    await mend_sales(whole=whole)


async def mend_if_due() -> None:
    """Mends all sales, unless another process has begun to do it in this period."""
    if not await due_sales.may_mend(seconds=MEND_S):
        return
    try:
        await mend_all(whole=await due_sales.may_compare(seconds=COMPARE_S))
    except (OperationalError, InterfaceError):
        # PostgreSQL has gone away. What it committed before must not wait for another period.
        await due_sales.mend_again()
        raise


async def expire_in_books() -> None:
    """Ends holds in PostgreSQL while Redis does not answer."""
    await run_in_db_thread(expire_without_gate)


async def run_ticks(*, stop: asyncio.Event) -> None:
    """Runs the ticks of all sales until `stop` is set. Goes on after an outage of Redis or PostgreSQL.

    Rebuilding and mending may take long. They run as tasks of their own, because the clock lease of a sale ends when
    its ticks wait too long.
    """
    async with asyncio.TaskGroup() as tasks:
        for seconds, work in (
            (MEASURE_S, measure_clock),
            (TICK_S, tick_all),
            (TICK_S, refusal_counts.flush),
            (gate_metrics.SEND_S, gate_metrics.send),
            (gate_metrics.SEND_DOOR_S, gate_metrics.send_door),
            (samples.LOOK_S, samples.take),
            (NOTE_PEERS_S, untrusted_peers.flush),
            (SHARE_QUOTAS_S, quotas.flush),
            (key_use.STORE_S, key_use.store),
            (TICK_S, failed_tries.report),
            (SEND_CODES_S, send_codes.send_all_due),
            (FIND_MISSING_S, rebuild_after_loss),
            (MEND_LOOK_S, mend_if_due),
            (LOOK_S, expire_in_books),
            (MARKS_S, compare_marks),
            (TICK_S, inbox.read_hinted),
            (alarms.LOOK_S, alarms.watch),
            (alarms.LOOK_S, alarms.tell),
        ):
            tasks.create_task(_every(seconds, work, stop))


async def _every(seconds: float, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await work()
        except (GateDown, Error) as error:
            log.warning("%s failed, and is tried again: %s", work.__name__, error)
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            continue


def tick_once() -> None:
    """One tick of every sale, for callers without an event loop. Raises GateDown and django.db.Error."""
    bridge.run(tick_all())
