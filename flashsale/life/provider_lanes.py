"""Lanes: work that waits for payment providers is done many calls at once, with one lane for each account.

How this works. A row in PostgreSQL is the work, and its `next_look_at` is its date. A lane claims the rows of its
account that are due, one kind after the other and in the order of their dates: it moves their dates LEASE ahead, so
that no other process takes them. It asks the provider about many rows at once, as fast as the account's pace allows,
and the answers are settled in batches. If the process dies, the rows are due again when the lease is over.

A provider that is down or slow holds up its own lane only. Until it has answered once, few calls are open at a time.
After DOWN_MAX failures in a row the lane ends, and its rows are due again after AGAIN.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, NamedTuple

from django.db import Error, connection, transaction
from django.db.models import Model, QuerySet

from flashsale import metrics
from flashsale.gate.client import GateDown
from flashsale.gate.provider_pace import background_wait
from flashsale.life.db_threads import run_in_db_thread
from flashsale.providers import payments
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Refused

log = logging.getLogger(__name__)

# Longer than a provider may take to answer (ask_provider.ANSWER_S) and the wait before the call.
LEASE, AGAIN = timedelta(seconds=30), timedelta(seconds=30)
# Celery ends a task after a minute.
WORK_FOR_S = 20.0
OPEN_CALLS, FIRST_CALLS, DOWN_MAX = 256, 8, 8
# A lane claims what its pace allows in this time, so that more urgent rows are never long behind it.
CLAIM_S = 2.0
LOOK_S = 0.5


class Result(Enum):
    """What became of one row."""

    DONE = auto()
    LATER = auto()  # it cannot be settled at the moment, for a reason of ours
    DOWN = auto()  # the provider did not answer


class Kind(NamedTuple):
    """One kind of work. The earlier kinds of a lane come first.

    `due` are the rows that are due, the most urgent first; `account` is the field that names their account. `load`
    returns what `ask` needs of each claimed row, and `ask` asks the provider about one and settles the answer. It may
    raise ProviderDown, GateDown, Refused or Error. `next_of` is when a row that was asked about is due again, unless
    settling has set another date.
    """

    due: Callable[[datetime], "QuerySet[Any]"]
    account: str
    ask: Callable[[Any], Awaitable[None]]
    next_of: Callable[[Any, datetime], datetime | None]
    load: Callable[[Sequence[Any]], Sequence[Any]] = list


@dataclass
class _Job:
    kind: Kind
    row: Any
    item: Any
    was: datetime
    lease: datetime


@dataclass
class _Lane:
    """What one run of a lane knows."""

    account: str
    pace: float
    until: float
    waiting: deque[_Job] = field(default_factory=deque)
    running: set["asyncio.Task[None]"] = field(default_factory=set)
    asked: list[tuple[_Job, Result]] = field(default_factory=list)
    counts: Counter[Result] = field(default_factory=Counter)
    answered: bool = False
    down_in_a_row: int = 0
    pause_s: float = 0.0
    errors: list[BaseException] = field(default_factory=list)

    @property
    def is_down(self) -> bool:
        return self.down_in_a_row >= DOWN_MAX

    @property
    def is_over(self) -> bool:
        return self.is_down or time.monotonic() > self.until

    @property
    def room(self) -> int:
        return (OPEN_CALLS if self.answered else FIRST_CALLS) - len(self.running)


async def work_off(
    kinds: Sequence[Kind], *, accounts: Sequence[str] | None = None, seconds: float | None = None
) -> Counter[Result]:
    """Does what is due of these kinds, for about WORK_FOR_S at most; returns how many rows had which result.

    Safe to repeat and to run in parallel. Raises what is no fault of a provider, of Redis or of PostgreSQL, after all
    lanes have ended.
    """
    found = accounts if accounts is not None else await run_in_db_thread(_accounts, kinds)
    until = time.monotonic() + (seconds or WORK_FOR_S)
    results = await asyncio.gather(*(_run(account, kinds, until) for account in found), return_exceptions=True)
    counts: Counter[Result] = Counter()
    for result in results:
        if isinstance(result, BaseException):
            raise result
        counts += result
    return counts


def _accounts(kinds: Sequence[Kind]) -> list[str]:
    now = wall_clock.now()
    found = {
        account
        for kind in kinds
        for account in kind.due(now).order_by().values_list(kind.account, flat=True).distinct()
    }
    # No provider can be asked about the rows of an account that the settings do not have (waiting_money.py).
    return sorted(found & payments.accounts.keys())


async def _run(account: str, kinds: Sequence[Kind], until: float) -> Counter[Result]:
    known = payments.accounts.get(account)
    lane = _Lane(account, known.pace if known else 1.0, until)
    try:
        while not lane.is_over:
            if not lane.waiting:
                lane.waiting.extend(await run_in_db_thread(_next_round, lane, kinds))
            if not lane.waiting and not lane.running:
                break
            if not lane.waiting or lane.room <= 0:
                await asyncio.wait(lane.running, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                continue
            if (wait := await _wait_of(lane)) > 0:
                await asyncio.sleep(min(wait, LOOK_S))
                continue
            _begin(lane, lane.waiting.popleft())
    finally:
        if lane.running:
            await asyncio.wait(lane.running)
        await run_in_db_thread(_release, lane)
    if lane.errors:
        raise lane.errors[0]
    return lane.counts


async def _wait_of(lane: _Lane) -> float:
    """Seconds to wait before the next call; 0: it may be made now."""
    if lane.pause_s:
        pause, lane.pause_s = lane.pause_s, 0.0
        return pause
    try:
        return await background_wait(lane.account, pace=lane.pace)
    except GateDown:
        # This process keeps the pace by itself. The provider refuses what is too much.
        await asyncio.sleep(1 / lane.pace)
        return 0.0


def _begin(lane: _Lane, job: _Job) -> None:
    async def ask() -> None:
        try:
            await job.kind.ask(job.item)
            result, lane.answered, lane.down_in_a_row = Result.DONE, True, 0
        except payments.NotYet as error:
            log.warning("%s has to wait: %s", job.row, error)
            result, lane.answered, lane.down_in_a_row = Result.LATER, True, 0
        except payments.ProviderBusy as error:
            result, lane.pause_s = Result.DOWN, error.after
        except payments.ProviderDown as error:
            log.warning("%s of %s has to wait: %s", job.row, lane.account, error)
            result = Result.DOWN
            lane.down_in_a_row += 1
        except (GateDown, Refused, Error) as error:
            log.warning("%s cannot be settled yet: %s", job.row, error)
            result = Result.LATER
        except Exception as error:  # raised when the lane ends; the row is due again after its lease
            log.exception("%s could not be asked about", job.row)
            lane.errors.append(error)
            lane.down_in_a_row += 1
            return
        lane.counts[result] += 1
        metrics.LANE_ROWS.add(lane.account, result.name.lower())
        lane.asked.append((job, result))

    task = asyncio.create_task(ask())
    lane.running.add(task)
    task.add_done_callback(lane.running.discard)


def _next_round(lane: _Lane, kinds: Sequence[Kind]) -> list[_Job]:
    """Notes what the calls of this lane came to, and claims the next rows."""
    _release(lane)
    most = int(min(OPEN_CALLS, max(FIRST_CALLS, CLAIM_S * lane.pace)))
    for kind in kinds:
        if jobs := _claim(kind, lane.account, most):
            return jobs
    return []


def _claim(kind: Kind, account: str, most: int) -> list[_Job]:
    now = wall_clock.now()
    lease = now + LEASE
    with transaction.atomic():
        due = kind.due(now).filter(**{kind.account: account})
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True, of=("self",))
        rows = list(due[:most])
        if not rows:
            return []
        due.model._default_manager.filter(pk__in=[row.pk for row in rows]).update(next_look_at=lease)  # noqa: SLF001
    dates = [row.next_look_at for row in rows]
    for row in rows:
        row.next_look_at = lease
    return [_Job(kind, *one, lease) for one in zip(rows, kind.load(rows), dates, strict=True)]


def _release(lane: _Lane) -> None:
    """Gives rows that were asked about their next date, unless settling has given them another one.

    Rows for which there was no time are due as before.
    """
    asked, lane.asked = lane.asked, []
    now = wall_clock.now()
    again = now + AGAIN
    dates = [(job, job.kind.next_of(job.row, now) if result is Result.DONE else again) for job, result in asked]
    if lane.is_over:
        dates += [(job, again if lane.is_down else job.was) for job in lane.waiting]
    by_date: dict[tuple[type[Model], datetime, datetime | None], list[Any]] = {}
    for job, at in dates:
        by_date.setdefault((type(job.row), job.lease, at), []).append(job.row.pk)
    for (model, lease, at), ids in by_date.items():
        with transaction.atomic():
            # Locked in the order of their ids, as settling does, so that the two cannot deadlock.
            leased = model._default_manager.filter(pk__in=ids, next_look_at=lease)  # noqa: SLF001
            locked = list(leased.select_for_update().order_by("pk").values_list("pk", flat=True))
            leased.filter(pk__in=locked).update(next_look_at=at)
