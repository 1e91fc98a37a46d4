"""Admit: any door looks after the running sales a few times a second: drawing, calling, expiring, without Celery."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from django.db import Error

from flashsale.gate import bridge, refusal_counts, sale_cards, scripts
from flashsale.gate.client import GateDown, gate
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import expire, give_back, sale_control
from flashsale.life.clock_lease import beat
from flashsale.life.close import close
from flashsale.life.crowd_backup import remember
from flashsale.life.db_threads import in_books
from flashsale.life.draw import draw
from flashsale.life.index_blocks import extend
from flashsale.life.mend import mend
from flashsale.life.rebuild import find_lost, rebuild
from flashsale.life.roll_over import roll_over
from flashsale.life.single_flight import SingleFlight
from flashsale.life.status import phase_of
from flashsale.models import Allocation
from flashsale.rules import calling
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import Phase

log = logging.getLogger(__name__)

TICK_S = 0.25
MEND_S = 10.0
# A gate that lost everything does not even know that there is a sale: doors would answer that there is none.
FIND_S = 1.0
FORGET_MS = int(sale_cards.REMEMBERED.total_seconds() * 1000)


async def tend(*, card: SaleCard) -> None:
    """One look at a sale: whatever is due by now is done. Safe at any moment, by any number of processes at once."""
    over = False
    for line in card.lines:
        figures = await scripts.survey(card, line)
        if isinstance(figures, Outcome):
            # The server behind the gate is not the one that knew this sale: fill it from the books.
            await in_books(rebuild, sale=card.sale)
            return
        await beat(card=card, figures=figures)
        await extend(card=card, line=line, figures=figures)
        await remember(card=card, line=line, figures=figures)
        if figures.wall >= card.opens_at and not figures.seed:
            await draw(card=card)
        elif phase_of(card, figures) is Phase.OPEN and figures.now >= line.opens_at:
            if line.rolls_over_at and figures.now >= line.rolls_over_at:
                await roll_over(card=card, line=line, figures=figures)
            else:
                await _call(card, line, figures)
        over = figures.now > card.closes_at + FORGET_MS
    await expire.expire(card=card)
    if over:
        await in_books(close, sale=card.sale)


async def _call(card: SaleCard, line: LineCard, figures: Survey) -> None:
    # Who opens may call a second's worth at once.
    since_ms = figures.now - figures.called_at if figures.called_at else 1000
    people = calling.people_to_call(
        free=sum(figures.free.values()), open_claims=figures.open_claims, weight=card.weight,
        overbooking=card.overbooking, claims_cap=card.claims_max or card.max_entries,
        rate_left=calling.calls_allowed(rate_per_s=card.rate_per_s, since_ms=since_ms),
    )  # fmt: skip
    if not people or figures.called >= figures.entered:
        return
    called = await scripts.call(
        card, line, seed=figures.seed, called=figures.called, people=people, removed=figures.removed
    )
    if isinstance(called, int) and called > figures.called:
        await in_books(_remember_called, line.id, called)


def _remember_called(allocation: int, called: int) -> None:
    Allocation.objects.filter(pk=allocation, called__lt=called).update(called=called)


async def tend_all() -> None:
    """One look at every sale of the directory that nobody looks after at this moment.

    One sale's trouble does not keep the others from being looked after; what nobody foresaw is raised in the end.
    """
    troubles = await asyncio.gather(*(_tend_one(code) for code in await sale_cards.codes()), return_exceptions=True)
    for trouble in troubles:
        if trouble is not None:
            raise trouble


async def _tend_one(code: str) -> None:
    # One that hangs, at a row that somebody holds or while it is filled anew, must not stop the clocks of the others.
    look: SingleFlight = gate().kept["tending"].setdefault(code, SingleFlight())
    try:
        await look.run(partial(_look_after, code))
    except (GateDown, Error, TimeoutError) as error:
        log.warning("could not look after %s: %s", code, error)


async def _look_after(code: str) -> None:
    card = await sale_cards.card_of(code)
    if card is not None and await sale_cards.tending(card):
        await tend(card=card)


async def mend_all() -> None:
    """Finds what lost messages would have said: of sales, decisions, ended reservations, free units."""
    await find_lost()
    for code in await sale_cards.codes():
        card = await sale_cards.card_of(code)
        if card is None:
            continue
        decided = await sale_control.tell_again(card=card)
        if again := decided + await give_back.tell_again(card=card) + await mend(card=card):
            log.warning("%s: %s messages to the gate had been lost and were told again", code, again)


async def keep_tending(*, stop: asyncio.Event) -> None:
    """Looks after all sales until told to stop; an outage of gate or books is waited out.

    Finding and mending may take long, so they go beside: the clocks of the sales wait for the beats of the tending.
    """
    async with asyncio.TaskGroup() as together:
        for seconds, work in (
            (TICK_S, tend_all),
            (TICK_S, refusal_counts.tell),
            (FIND_S, find_lost),
            (MEND_S, mend_all),
        ):
            together.create_task(_every(seconds, work, stop))


async def _every(seconds: float, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await work()
        except (GateDown, Error) as error:
            log.warning("could not look after the sales: %s", error)
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            continue


def tend_once() -> None:
    """One look at everything, for callers without an event loop. Raises GateDown and Error."""
    bridge.run(tend_all())
