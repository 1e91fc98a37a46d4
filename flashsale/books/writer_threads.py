"""Writer threads: one thread for each running sale commits to PostgreSQL what Redis has decided, many at once."""

import asyncio
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from django.db import Error, InternalError, close_old_connections

from flashsale import metrics
from flashsale.books.reservations import NewReservation, commit
from flashsale.rules.outcomes import Outcome

log = logging.getLogger(__name__)
BATCH_MAX = 64
IDLE_S = 60.0


class _Waiting(NamedTuple):
    """A reservation that waits for its commit since a time, the future of its answer, and the future's event loop."""

    reservation: NewReservation
    answer: "asyncio.Future[Outcome]"
    loop: asyncio.AbstractEventLoop
    since: float


class Writer:
    """Commits the waiting reservations of a sale in batches of up to BATCH_MAX.

    Its thread starts with the first reservation, and ends when none comes for IDLE_S seconds.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, winner: NewReservation) -> "asyncio.Future[Outcome]":
        """A future that gets PostgreSQL's answer. It belongs to the running event loop.

        It raises Django's Error when PostgreSQL does not answer.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.put(_Waiting(winner, answer, loop, time.perf_counter()))
        with self._start_lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="books-writer", daemon=True)
                self._thread.start()
        return answer

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

    def _deliver(self, batch: list[_Waiting]) -> None:
        # The same reservation may wait twice, because a retry may arrive before the first attempt is committed.
        winners = {one.reservation.id: one.reservation for one in batch}
        began = time.perf_counter()
        metrics.WRITER_WAIT.observe(began - batch[0].since)
        metrics.WRITER_BATCH.observe(len(batch))
        try:
            answers = commit(list(winners.values()))
            metrics.WRITER_SECONDS.observe(time.perf_counter() - began)
        except Exception as error:  # every waiting caller gets it, and the thread goes on
            metrics.WRITER_FAILURES.add()
            if not isinstance(error, Error):
                log.exception("a batch of %s could not be committed", len(batch))
            _wake(batch, [error if isinstance(error, Error) else InternalError(repr(error))] * len(batch))
            close_old_connections()
        else:
            _wake(batch, [answers[one.reservation.id] for one in batch])
        finally:
            if self._waiting.empty():
                close_old_connections()


def _wake(batch: Sequence[_Waiting], results: Sequence[Outcome | Exception]) -> None:
    """Gives each caller its result, with one wake-up of an event loop for the whole batch.

    A wake-up writes to the loop's socket and interrupts it. One for each reservation would cost more than the commit.
    """
    by_loop = defaultdict(list)
    for waiting, result in zip(batch, results, strict=True):
        by_loop[waiting.loop].append((waiting.answer, result))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # that loop has been closed, and its callers with it
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: "Sequence[tuple[asyncio.Future[Outcome], Outcome | Exception]]") -> None:
    for answer, result in pairs:
        if answer.done():  # its caller was cancelled
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)


_writers: dict[int, Writer] = {}


def writer_of(sale: int) -> Writer:
    """The writer of a sale. Each sale has its own, because a sale with a locked row must not delay the others."""
    return _writers.get(sale) or _writers.setdefault(sale, Writer())
