"""Tick: a few times a second, each web process does what is due in the running sales, without Celery.

A tick renews the clock lease, draws the lines, calls people, ends holds, rolls units over and closes the sale. All web
processes run the same loop. Redis lets one tick of a sale start every 200 ms, and each step is safe to repeat.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from django.db import Error

from flashsale.gate import bridge, refusal_counts, sale_cards, scripts
from flashsale.gate.client import GateCache, GateDown
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import expire, give_back, sale_control
from flashsale.life.clock_lease import renew_clock_lease
from flashsale.life.close import close
from flashsale.life.crowd_backup import back_up_crowd
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.draw import draw
from flashsale.life.extra_time import kept_claims
from flashsale.life.index_blocks import extend_block
from flashsale.life.mend import mend
from flashsale.life.rebuild import rebuild, rebuild_missing_sales
from flashsale.life.resend_confirmed import resend_confirmed
from flashsale.life.roll_over import roll_over
from flashsale.life.single_flight import SingleFlight
from flashsale.life.status import phase_of
from flashsale.models import Allocation
from flashsale.models.draw_secret import SecretUnreadable
from flashsale.rules import calling
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import Phase

log = logging.getLogger(__name__)

TICK_S = 0.25
MEND_S = 10.0
# A Redis that lost everything lists no sale, and requests get the answer that there is no such sale.
FIND_MISSING_S = 1.0
CLOSE_AFTER_MS = int(sale_cards.KEPT_AFTER_END.total_seconds() * 1000)
# By sale code.
TICKING: GateCache[str, SingleFlight] = GateCache()


async def tick_sale(*, card: SaleCard) -> None:
    """Does what is due in one sale. Safe at any moment, and in several processes at once."""
    over = False
    for line in card.lines:
        figures = await scripts.survey(card, line)
        if isinstance(figures, Outcome):
            # This Redis server does not know the sale, because it was restarted or replaced: load it from PostgreSQL.
            await run_in_db_thread(rebuild, sale=card.sale)
            return
        await renew_clock_lease(card=card, figures=figures)
        await extend_block(card=card, line=line, figures=figures)
        await back_up_crowd(card=card, line=line, figures=figures)
        if figures.wall >= card.opens_at and not figures.seed:
            await draw(card=card)
        elif phase_of(card, figures) is Phase.OPEN and figures.now >= line.opens_at:
            if line.rolls_over_at and figures.now >= line.rolls_over_at:
                await roll_over(card=card, line=line, figures=figures)
            else:
                await _call_people(card, line, figures)
        over = figures.now > card.closes_at + CLOSE_AFTER_MS
    await expire.expire(card=card)
    if over:
        await run_in_db_thread(close, sale=card.sale)


async def _call_people(card: SaleCard, line: LineCard, figures: Survey) -> None:
    # The first call of a line may call as many people as the rate allows in one second.
    since_ms = figures.now - figures.called_at if figures.called_at else 1000
    people = calling.people_to_call(
        free=sum(figures.free.values()), open_claims=kept_claims(card, figures), weight=card.weight,
        overbooking=card.overbooking, claims_cap=card.claims_max or card.max_entries,
        rate_left=calling.calls_allowed(rate_per_s=card.rate_per_s, since_ms=since_ms),
    )  # fmt: skip
    if not people or figures.called >= figures.entered:
        return
    called = await scripts.call(
        card, line, seed=figures.seed, called=figures.called, people=people, removed=figures.removed
    )
    if isinstance(called, int) and called > figures.called:
        await run_in_db_thread(_store_called, line.id, called)


def _store_called(allocation: int, called: int) -> None:
    Allocation.objects.filter(pk=allocation, called__lt=called).update(called=called)


async def tick_all() -> None:
    """One tick of every sale that Redis lists, except those that another process has just begun.

    An error in one sale does not stop the others. An unexpected error is raised at the end.
    """
    results = await asyncio.gather(*(_tick_one(code) for code in await sale_cards.sale_codes()), return_exceptions=True)
    for error in results:
        if error is not None:
            raise error


async def _tick_one(code: str) -> None:
    # A tick may hang, at a locked row or during a rebuild. That must not stop the clocks of the other sales.
    running = TICKING.entries().setdefault(code, SingleFlight())
    try:
        await running.run(partial(_tick_if_due, code))
    except (GateDown, Error, TimeoutError) as error:
        log.warning("tick of %s failed, and is tried again: %s", code, error)
    except SecretUnreadable as error:
        # Another server may have the right key, and the other sales must go on.
        log.error("%s is not drawn: %s", code, error)  # noqa: TRY400 - the text says all, and it repeats


async def _tick_if_due(code: str) -> None:
    card = await sale_cards.card_of(code)
    if card is not None and await sale_cards.may_tick(card):
        await tick_sale(card=card)


async def mend_all() -> None:
    """Sends again what Redis has not received: missing sales, decisions, orders, ended reservations, units and lists.

    A process may die after its commit in PostgreSQL and before its message to Redis. This finds what was not sent.
    """
    await rebuild_missing_sales()
    for code in await sale_cards.sale_codes():
        card = await sale_cards.card_of(code)
        if card is None:
            continue
        decisions = int(await sale_control.resend_decision(card=card))
        confirmed = await resend_confirmed(card=card)
        if resent := decisions + confirmed + await give_back.resend_ended(card=card) + await mend(card=card):
            log.warning("%s: %s messages to Redis had been lost and were sent again", code, resent)


async def run_ticks(*, stop: asyncio.Event) -> None:
    """Runs the ticks of all sales until `stop` is set. Goes on after an outage of Redis or PostgreSQL.

    Rebuilding and mending may take long. They run as tasks of their own, because the clock lease of a sale ends when
    its ticks wait too long.
    """
    async with asyncio.TaskGroup() as tasks:
        for seconds, work in (
            (TICK_S, tick_all),
            (TICK_S, refusal_counts.flush),
            (FIND_MISSING_S, rebuild_missing_sales),
            (MEND_S, mend_all),
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
