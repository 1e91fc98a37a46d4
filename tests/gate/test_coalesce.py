"""Single asks travel in batches: none is lost, none waits for ever, none delays an idle line."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
import redis

from flashsale.gate import bridge, client, coalesce, scripts
from flashsale.gate.coalesce import BATCH_MAX, Coalescer, TooManyWaiting
from flashsale.rules.outcomes import Outcome
from tests.gate.floor import CARD, FIRST, person, stand


class Slow:
    """Answers each ask with its double, once it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def send(self, asks: Sequence[int]) -> list[int]:
        self.batches.append(list(asks))
        await self.go.wait()
        if self.error:
            raise self.error
        return [2 * ask for ask in asks]


async def _started(coalescer: Coalescer[int, int], asks: Sequence[int]) -> list[asyncio.Future[int]]:
    answers = [coalescer.ask(ask) for ask in asks]
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
        assert [await coalescer.ask(1), await coalescer.ask(2)] == [2, 4]
        assert slow.batches == [[1], [2]]

    bridge.run(run())


def test_who_waits_behind_a_failed_batch_fails_with_it_and_nobody_after() -> None:
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
        assert await coalescer.ask(3) == 6

    bridge.run(run())


def test_an_ask_given_up_by_its_owner_does_not_disturb_the_batch() -> None:
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


def test_beyond_the_bound_an_ask_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coalesce, "WAITING_MAX", 2)

    async def run() -> None:
        slow = Slow()
        coalescer = Coalescer(slow.send)
        tasks = await _started(coalescer, [0])
        tasks += await _started(coalescer, [1, 2])
        with pytest.raises(TooManyWaiting):
            await coalescer.ask(3)
        slow.go.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4]

    bridge.run(run())


def test_what_gathers_for_lines_and_epochs_that_are_over_is_not_kept(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "BATCHES_MAX", 2)
    stand(drawn=False)
    cards = [replace(CARD, max_entries=100 + n) for n in range(10)]

    async def enter_all() -> tuple[list[scripts.Entered | Outcome], int]:
        enters = [scripts.enter(card, FIRST, person(f"person-{n}")) for n, card in enumerate(cards)]
        return await asyncio.gather(*enters), len(client.gate().kept["batches"])

    entered, kept = bridge.run(enter_all())
    assert entered == [scripts.Entered(n, True, ()) for n in range(1, 11)]
    assert 1 <= kept <= 2
