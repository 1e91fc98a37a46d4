"""Writer threads: one thread for each running sale commits to PostgreSQL what Redis has decided, many at once."""

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
    """Commits the waiting reservations of a sale in batches of up to BATCH_MAX.

    Its thread starts with the first reservation, and ends when none comes for IDLE_S seconds.
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[NewReservation, Future[Outcome]]] = queue.SimpleQueue()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def submit(self, winner: NewReservation) -> "Future[Outcome]":
        """A future of PostgreSQL's answer. It raises Django's Error when PostgreSQL does not answer."""
        answer: Future[Outcome] = Future()
        # From now on the future cannot be cancelled, so the thread can always set its result.
        answer.set_running_or_notify_cancel()
        self._waiting.put((winner, answer))
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

    def _deliver(self, batch: list[tuple[NewReservation, "Future[Outcome]"]]) -> None:
        # The same reservation may wait twice, because a retry may arrive before the first attempt is committed.
        winners = {winner.id: winner for winner, _ in batch}
        try:
            answers = commit(list(winners.values()))
        except Exception as error:  # every waiting caller gets it, and the thread goes on
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
    """The writer of a sale. Each sale has its own, because a sale with a locked row must not delay the others."""
    return _writers.get(sale) or _writers.setdefault(sale, Writer())
