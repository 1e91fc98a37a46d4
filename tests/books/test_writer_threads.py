"""The writer threads: one wake-up of an event loop for each batch that PostgreSQL has committed."""

import asyncio
import threading
import uuid
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from django.db import OperationalError

from flashsale.books import writer_threads
from flashsale.rules.outcomes import Outcome

T = TypeVar("T")
PEOPLE = 40


class Commits:
    """Stands for `commit`. Holds the first batch until `released`, so that all later requests fill one batch."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sizes: list[int] = []
        self.began, self.released = threading.Event(), threading.Event()
        self.error = error

    def __call__(self, winners: Sequence[Any]) -> dict[uuid.UUID, Outcome]:
        self.sizes.append(len(winners))
        self.began.set()
        if len(self.sizes) == 1:
            assert self.released.wait(5)
        elif self.error:
            raise self.error
        return {winner.id: Outcome.RESERVED for winner in winners}


def run_in_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine in an event loop of its own. A browser of an earlier test may have left one in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def wake_ups(commits: Commits) -> tuple[int, list[Any]]:
    """Sends one request and, while it is committed, PEOPLE more. How often the loop was woken, and the results."""

    async def all_at_once() -> tuple[int, list[Any]]:
        loop, woken = asyncio.get_running_loop(), []
        really = loop.call_soon_threadsafe

        def counted(callback: Any, *args: Any, **more: Any) -> Any:
            if callback is writer_threads._resolve:
                woken.append(callback)
            return really(callback, *args, **more)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]
        writer = writer_threads.Writer()
        first = writer.submit(SimpleNamespace(id=uuid.uuid4()))  # type: ignore[arg-type]
        assert await asyncio.to_thread(commits.began.wait, 5)
        rest = [writer.submit(SimpleNamespace(id=uuid.uuid4())) for _ in range(PEOPLE)]  # type: ignore[arg-type]
        commits.released.set()
        results = await asyncio.gather(first, *rest, return_exceptions=True)
        return len(woken), results

    return run_in_thread(all_at_once())


def test_a_batch_wakes_the_event_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = Commits()
    monkeypatch.setattr(writer_threads, "commit", commits)
    woken, results = wake_ups(commits)
    assert commits.sizes == [1, PEOPLE]
    assert results == [Outcome.RESERVED] * (1 + PEOPLE)
    assert woken == 2


def test_a_batch_that_fails_wakes_the_event_loop_once_and_fails_every_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = Commits(OperationalError("no answer"))
    monkeypatch.setattr(writer_threads, "commit", commits)
    woken, results = wake_ups(commits)
    assert [type(result) for result in results] == [Outcome, *[OperationalError] * PEOPLE]
    assert woken == 2


def test_a_caller_that_is_cancelled_does_not_keep_the_answer_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = Commits()
    monkeypatch.setattr(writer_threads, "commit", commits)

    async def one_leaves() -> Outcome:
        writer = writer_threads.Writer()
        leaves = writer.submit(SimpleNamespace(id=uuid.uuid4()))  # type: ignore[arg-type]
        stays = writer.submit(SimpleNamespace(id=uuid.uuid4()))  # type: ignore[arg-type]
        leaves.cancel()
        commits.released.set()
        return await asyncio.wait_for(stays, 120)

    assert run_in_thread(one_leaves()) is Outcome.RESERVED
