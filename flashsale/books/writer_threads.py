"""A thread for each sale that is being sold, which commits what the gate has decided for it, many at once."""

import logging
import queue
import threading
from concurrent.futures import Future
from contextlib import suppress

from django.db import Error, InternalError, close_old_connections

from flashsale.books.reservations import NewReservation, commit
from flashsale.rules.outcomes import Outcome

log = logging.getLogger(__name__)
BATCH_MAX = 64
IDLE_S = 60.0


class Writer:
    """A thread that commits what is waiting for a sale, up to 64 at once, and ends when nothing comes for a while."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[NewReservation, Future[Outcome]]] = queue.SimpleQueue()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, winner: NewReservation) -> "Future[Outcome]":
        """The books' answer to come; it fails with Django's Error when they do not answer."""
        answer: Future[Outcome] = Future()
        answer.set_running_or_notify_cancel()  # whoever stops waiting for it must not surprise the thread
        self._waiting.put((winner, answer))
        with self._turn:
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
            with self._turn:
                if self._waiting.empty():
                    self._thread = None
                    return

    def _deliver(self, batch: list[tuple[NewReservation, "Future[Outcome]"]]) -> None:
        # The same winner may wait twice: a retry arrives while the first attempt is on its way.
        winners = {winner.id: winner for winner, _ in batch}
        try:
            answers = commit(list(winners.values()))
        except Exception as error:  # handed to everybody who waits; the thread lives on
            if not isinstance(error, Error):
                log.exception("a batch of %s could not be committed", len(batch))
            for _, future in batch:
                future.set_exception(error if isinstance(error, Error) else InternalError(repr(error)))
            close_old_connections()
        else:
            for winner, future in batch:
                future.set_result(answers[winner.id])
        finally:
            if self._waiting.empty():
                close_old_connections()


_writers: dict[int, Writer] = {}


def writer_of(sale: int) -> Writer:
    """Each sale has its own: one whose row somebody holds must not hold up the others."""
    return _writers.get(sale) or _writers.setdefault(sale, Writer())
