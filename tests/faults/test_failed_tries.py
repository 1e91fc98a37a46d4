"""A person who tried to reserve in time and got no answer from Redis does not lapse before the next try is judged."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, scripts
from flashsale.gate.client import GateDown
from flashsale.gate.keys import SaleKeys
from flashsale.life import failed_tries, tick
from flashsale.models import Reservation, Sale
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, card_of, let_pass, refusal, tend
from tests.faults.steps import broken, called

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
CLAIM_S = 300


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes one call of a person fail, because this process cannot reach Redis."""

    async def down(*_: Any, **__: Any) -> Any:
        raise GateDown("reserve: no answer within 1.0 s")

    def fails(person: Shopper, *, step: str = "reserve") -> None:
        with monkeypatch.context() as patch:
            patch.setattr(scripts, step, down)
            with pytest.raises(GateDown):
                person.reserve()

    async def forget() -> None:
        failed_tries.FAILED.entries().clear()

    bridge.run(forget())
    return fails


def two_called() -> tuple[Sale, Shopper, Shopper]:
    sale, people = called("ani", "budi", stock=2)
    first, second = sorted(people, key=lambda person: person.number())
    return sale, first, second


def reported() -> None:
    """What each web process does four times a second."""
    bridge.run(failed_tries.report())


async def earlier(seconds: float) -> None:
    """The failed tries were so much earlier, because `let_pass` moves only what Redis knows."""
    tries = failed_tries.FAILED.entries()
    for key, failed in tries.items():
        tries[key] = replace(failed, tried_at=failed.tried_at - seconds)


def pending() -> int:
    async def count() -> int:
        return len(failed_tries.FAILED.entries())

    return bridge.run(count())


def test_without_a_try_the_turn_has_passed_after_the_claim_window(gate: redis.Redis) -> None:
    sale, first, _ = two_called()
    let_pass(sale, seconds=CLAIM_S + 1)
    reported()
    assert refusal(first.reserve) is Outcome.LAPSED
    assert Reservation.objects.count() == 0


@pytest.mark.parametrize("told", [True, False], ids=["told before the retry", "told with the retry"])
@pytest.mark.parametrize("key", ["once", "another"])
def test_the_retry_of_a_try_that_failed_in_time_is_judged_as_in_time(away: Any, told: bool, key: str) -> None:
    sale, first, second = two_called()
    away(first)
    let_pass(sale, seconds=CLAIM_S - 1)
    if told:
        reported()
        assert pending() == 0
    let_pass(sale, seconds=2)
    bridge.run(earlier(2))
    tend(sale)
    if told:
        assert first.look().state == "called"
    assert first.reserve(key=key).replayed is False
    assert refusal(second.reserve) is Outcome.LAPSED
    assert pending() == 0
    assert broken(sale) == []


def test_the_unit_waits_for_the_retry_and_is_promised_to_nobody_else(away: Any) -> None:
    sale, people = called("ani", "budi", stock=1)
    first, second = sorted(people, key=lambda person: person.number())
    away(first)
    reported()
    let_pass(sale, seconds=CLAIM_S + 1)
    tend(sale)
    assert second.look().state == "waiting"
    first.reserve()
    assert broken(sale) == []


def test_a_person_who_does_not_come_back_loses_the_turn_after_twice_the_window(away: Any) -> None:
    sale, people = called("ani", "budi", stock=1)
    first, second = sorted(people, key=lambda person: person.number())
    away(first)
    reported()
    let_pass(sale, seconds=2 * CLAIM_S + 1)
    tend(sale)
    assert second.look().state == "called"
    assert refusal(first.reserve) is Outcome.LAPSED
    second.reserve()


def test_failing_again_and_again_gives_no_third_window(away: Any) -> None:
    sale, first, _ = two_called()
    away(first)
    reported()
    let_pass(sale, seconds=CLAIM_S + 1)
    away(first)
    reported()
    let_pass(sale, seconds=CLAIM_S)
    assert refusal(first.reserve) is Outcome.LAPSED


def test_a_try_after_the_window_gives_nothing(away: Any) -> None:
    sale, first, _ = two_called()
    let_pass(sale, seconds=CLAIM_S + 1)
    away(first)
    reported()
    assert refusal(first.reserve) is Outcome.LAPSED
    assert pending() == 0


def test_a_try_before_the_call_and_a_place_that_has_reserved_get_nothing(away: Any, gate: redis.Redis) -> None:
    sale, people = called("ani", "budi", stock=1)
    first, second = sorted(people, key=lambda person: person.number())
    away(second)
    first.reserve()
    away(first)
    assert pending() == 2
    reported()
    assert pending() == 0
    assert gate.zcard(SaleKeys(sale.campaign_id, sale.pk).extra_time(1)) == 0


def test_a_refusal_of_redis_is_no_failed_try(gate: redis.Redis) -> None:
    _, _, second = two_called()
    assert refusal(second.reserve, ("no-such-thing", 1)) is Outcome.UNKNOWN_OFFER
    assert pending() == 0


def test_a_gate_that_goes_on_being_away_keeps_the_try_for_later(away: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, first, _ = two_called()
    away(first)

    async def down(*_: Any, **__: Any) -> Any:
        raise GateDown

    with monkeypatch.context() as patch:
        patch.setattr(scripts, "tried_in_time", down)
        with pytest.raises(GateDown):
            reported()
    assert pending() == 1
    reported()
    assert pending() == 0


@pytest.mark.parametrize(
    ("waited_s", "late_s", "kept"),
    [(0.0, 1, False), (0.4, 1, False), (8.0, 1, True), (8.0, 7, True), (8.0, 9, False)],
    ids=["control: it did not wait", "as long as usual", "in time", "just in time", "too late"],
)  # fmt: skip
def test_a_request_that_waited_in_vain_for_another_door_counts_from_when_our_proxy_got_it(
    gate: redis.Redis, waited_s: float, late_s: int, kept: bool
) -> None:
    sale, first, second = two_called()
    let_pass(sale, seconds=CLAIM_S + late_s)
    if kept:
        first.reserve(waited_s=waited_s)
        assert refusal(second.reserve) is Outcome.LAPSED
    else:
        assert refusal(first.reserve, waited_s=waited_s) is Outcome.LAPSED
    assert (Reservation.objects.count(), pending()) == (int(kept), 0)
    assert broken(sale) == []


def test_a_try_at_a_gate_that_has_lost_its_memory_is_a_failed_try(away: Any, gate: redis.Redis) -> None:
    sale, first, _ = two_called()
    key = scripts.keys_of(card_of(sale)).state
    run = gate.hget(key, "run")
    gate.hset(key, "run", "of another server")
    assert refusal(first.reserve) is Outcome.NOT_READY
    gate.hset(key, "run", run)
    assert pending() == 1
    reported()
    let_pass(sale, seconds=CLAIM_S + 1)
    first.reserve()
    assert broken(sale) == []


def test_every_web_process_reports_its_failed_tries(away: Any) -> None:
    _, first, _ = two_called()
    away(first)

    async def some_ticks() -> None:
        stop = asyncio.Event()
        ticking = asyncio.create_task(tick.run_ticks(stop=stop))
        for _ in range(200):
            if not failed_tries.FAILED.entries():
                break
            await asyncio.sleep(0.05)
        stop.set()
        await ticking

    bridge.run(some_ticks())
    assert pending() == 0
