"""Single requests go in batches: no request is lost, waits for ever, or is delayed while the line is idle."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
import redis

from flashsale.gate import bridge, coalesce, messages, scripts
from flashsale.gate.coalesce import BATCH_MAX, Coalescer, TooManyWaiting
from flashsale.rules.outcomes import Outcome
from tests.gate.floor import CARD, FIRST, PAGE, person, stand


class Slow:
    """Answers each request with its double, when `go` is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def send(self, requests: Sequence[int]) -> list[int]:
        self.batches.append(list(requests))
        await self.go.wait()
        if self.error:
            raise self.error
        return [2 * request for request in requests]


async def _started(coalescer: Coalescer[int, int], requests: Sequence[int]) -> list[asyncio.Future[int]]:
    answers = [coalescer.submit(request) for request in requests]
    await asyncio.sleep(0.01)
    return answers


def test_what_arrives_while_a_call_is_in_flight_goes_into_the_next_ones() -> None:
    async def run() -> None:
        slow = Slow()
        coalescer = Coalescer(slow.send)
        first = await _started(coalescer, [0])
        rest = await _started(coalescer, range(1, 1 + BATCH_MAX + 6))
        slow.go.set()
        assert await asyncio.gather(*first, *rest) == [2 * n for n in range(BATCH_MAX + 7)]
        assert [len(batch) for batch in slow.batches] == [1, BATCH_MAX, 6]

    bridge.run(run())


def test_an_idle_coalescer_sends_at_once_and_again_after_a_rest() -> None:
    async def run() -> None:
        slow = Slow()
        slow.go.set()
        coalescer = Coalescer(slow.send)
        assert [await coalescer.submit(1), await coalescer.submit(2)] == [2, 4]
        assert slow.batches == [[1], [2]]

    bridge.run(run())


def test_requests_behind_a_failed_batch_fail_with_it_and_later_ones_do_not() -> None:
    async def run() -> None:
        slow = Slow()
        coalescer = Coalescer(slow.send)
        first = await _started(coalescer, [0])
        second = await _started(coalescer, [1, 2])
        slow.error = ConnectionError("lost")
        slow.go.set()
        assert [str(error) for error in await asyncio.gather(*first, *second, return_exceptions=True)] == ["lost"] * 3
        assert slow.batches == [[0]]
        slow.error = None
        assert await coalescer.submit(3) == 6

    bridge.run(run())


def test_a_cancelled_request_does_not_disturb_its_batch() -> None:
    async def run() -> None:
        slow = Slow()
        coalescer = Coalescer(slow.send)
        tasks = await _started(coalescer, [0, 1, 2])
        tasks[1].cancel()
        slow.go.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [done[0], done[2]] == [0, 4]
        assert isinstance(done[1], asyncio.CancelledError)

    bridge.run(run())


def test_a_request_beyond_the_bound_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalesce, "WAITING_MAX", 2)

    async def run() -> None:
        slow = Slow()
        coalescer = Coalescer(slow.send)
        tasks = await _started(coalescer, [0])
        tasks += await _started(coalescer, [1, 2])
        with pytest.raises(TooManyWaiting):
            await coalescer.submit(3)
        slow.go.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4]

    bridge.run(run())


def test_coalescers_of_lines_and_epochs_that_are_over_are_dropped(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "COALESCERS_MAX", 2)
    stand(drawn=False)
    cards = [replace(CARD, max_entries=100 + n) for n in range(10)]

    async def enter_all() -> tuple[list[messages.EnterResult | Outcome], int]:
        enters = [scripts.enter(card, FIRST, PAGE, person(f"person-{n}")) for n, card in enumerate(cards)]
        return await asyncio.gather(*enters), len(scripts.COALESCERS.entries())

    entered, kept = bridge.run(enter_all())
    assert entered == [messages.EnterResult(n, True, ()) for n in range(1, 11)]
    assert 1 <= kept <= 2
