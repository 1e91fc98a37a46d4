"""Batches: a thread does the work of many waiting coroutines in one transaction."""

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import Error, InterfaceError, InternalError, OperationalError, connections

from flashsale import metrics

Item = TypeVar("Item")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)
BATCH_MAX = 64
# While one batch is at work, a second one begins only with this many items: a small batch costs as much as a large one.
SECOND_BATCH_MIN = 16
THREADS = 2
# How long an idle thread keeps its connection to PostgreSQL. To get one from the pool costs as much as two queries.
CONNECTION_S = 0.5
IDLE_S = 60.0


class _Waiting(NamedTuple):
    item: Any
    answer: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[Item, Answer]):
    """Gives `work` up to BATCH_MAX waiting items, and each caller its answer.

    `work` returns one answer for each item, in their order; an answer that is an exception is raised to its caller. It
    must be safe to repeat: if it raises, it is called again for each item alone. It runs in THREADS threads, so that
    one batch is prepared while PostgreSQL commits the other. They start with the first items, and end when none comes
    for IDLE_S seconds.
    """

    def __init__(self, name: str, work: Callable[[Sequence[Item]], Sequence[Answer | Exception]]) -> None:
        self._name, self._work = name, work
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._at_work = 0

    async def ask(self, item: Item) -> Answer:
        """The answer to one item. Raises Django's Error when PostgreSQL does not answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        with self._changed:
            self._waiting.append(_Waiting(item, answer, loop))
            if self._is_due():
                if self._threads - self._at_work > 0:
                    self._changed.notify()
                elif self._threads < THREADS:
                    self._threads += 1
                    threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return await answer

    def _is_due(self) -> bool:
        return len(self._waiting) >= (SECOND_BATCH_MIN if self._at_work else 1)

    def _run(self) -> None:
        try:
            while batch := self._take(CONNECTION_S) or self._take_later():
                try:
                    self._deliver(batch)
                finally:
                    with self._changed:
                        self._at_work -= 1
        finally:
            connections.close_all()

    def _take_later(self) -> list[_Waiting]:
        connections.close_all()
        return self._take(IDLE_S, last=True)

    def _take(self, seconds: float, *, last: bool = False) -> list[_Waiting]:
        """The next items, as soon as they are due; none after so many seconds. With `last`, the thread ends then."""
        with self._changed:
            if not self._changed.wait_for(self._is_due, seconds):
                self._threads -= last
                return []
            self._at_work += 1
            return [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]

    def _deliver(self, batch: list[_Waiting]) -> None:
        answers: Sequence[Answer | Exception]
        began = time.perf_counter()
        metrics.BATCH_SIZE.observe(len(batch), self._name)
        try:
            answers = self._work([one.item for one in batch])
        except BaseException as error:  # the thread goes on
            if not isinstance(error, Error):
                log.exception("a batch of %s of %s failed", len(batch), self._name)
            connections.close_all()
            answers = self._after(error, batch)
        metrics.BATCH_SECONDS.observe(time.perf_counter() - began, self._name)
        # One wake-up for each event loop and batch, because a wake-up costs as much as an answer.
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answer], Answer | Exception]]]
        by_loop = defaultdict(list)
        for one, answer in zip(batch, answers, strict=True):
            by_loop[one.loop].append((one.answer, answer))
        for loop, pairs in by_loop.items():
            with suppress(RuntimeError):  # the loop has ended, and its callers with it
                loop.call_soon_threadsafe(_hand_over, pairs)

    def _after(self, error: BaseException, batch: list[_Waiting]) -> Sequence[Answer | Exception]:
        """The answers when a whole batch has failed: each item is done alone, so that the others do not pay for one.

        If it is not the fault of an item, such as when PostgreSQL does not answer, all callers get the error.
        """
        failed = error if isinstance(error, Exception) else InternalError(repr(error))
        if len(batch) == 1 or not isinstance(error, Exception):
            return [failed] * len(batch)
        answers: list[Answer | Exception] = []
        for one in batch:
            if isinstance(failed, OperationalError | InterfaceError):
                answers.append(failed)
                continue
            try:
                answers += self._work([one.item])
            except Exception as own:  # noqa: BLE001 - its caller gets it
                failed = own
                answers.append(own)
                connections.close_all()
        return answers


def _hand_over(pairs: "list[tuple[asyncio.Future[Any], Any]]") -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
