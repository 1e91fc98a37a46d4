"""A thread that does for many waiting coroutines at once what costs a transaction for each of them alone."""

import asyncio
import logging
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from django.db import Error, InternalError, close_old_connections

Item = TypeVar("Item")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)
BATCH_MAX = 64
IDLE_S = 60.0


class Batcher(Generic[Item, Answer]):
    """Gives `work` up to BATCH_MAX waiting items, and each caller its answer.

    `work` returns one answer for each item, in their order; an answer that is an exception is raised to its caller. The
    thread starts with the first item, and ends when none comes for IDLE_S seconds.
    """

    def __init__(self, name: str, work: Callable[[Sequence[Item]], Sequence[Answer | Exception]]) -> None:
        self._name, self._work = name, work
        self._waiting: queue.SimpleQueue[tuple[Item, asyncio.Future[Answer], asyncio.AbstractEventLoop]]
        self._waiting = queue.SimpleQueue()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    async def ask(self, item: Item) -> Answer:
        """The answer to one item. Raises Django's Error when PostgreSQL does not answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.put((item, answer, loop))
        with self._start_lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return await answer

    def _run(self) -> None:
        while True:
            with suppress(queue.Empty):
                batch = [self._waiting.get(timeout=IDLE_S)]
                while len(batch) < BATCH_MAX and not self._waiting.empty():
                    batch.append(self._waiting.get())
                self._deliver(batch)
                continue
            with self._start_lock:
                if self._waiting.empty():
                    self._thread = None
                    return

    def _deliver(self, batch: list[tuple[Item, "asyncio.Future[Answer]", asyncio.AbstractEventLoop]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = self._work([item for item, _, _ in batch])
        except BaseException as error:  # every waiting caller gets it, and the thread goes on
            if not isinstance(error, Error):
                log.exception("a batch of %s of %s failed", len(batch), self._name)
            failed = error if isinstance(error, Exception) else InternalError(repr(error))
            answers = [failed] * len(batch)
        finally:
            close_old_connections()
        # One wake-up for each event loop and batch, because a wake-up costs as much as an answer.
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answer], Answer | Exception]]]
        by_loop = defaultdict(list)
        for (_, future, loop), answer in zip(batch, answers, strict=True):
            by_loop[loop].append((future, answer))
        for loop, pairs in by_loop.items():
            with suppress(RuntimeError):  # the loop has ended, and its callers with it
                loop.call_soon_threadsafe(_hand_over, pairs)


def _hand_over(pairs: "list[tuple[asyncio.Future[Any], Any]]") -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
