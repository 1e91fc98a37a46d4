"""Calling passes over spent numbers: it goes exactly as far as counting one by one, with few commands."""

import random
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, client, scripts
from flashsale.rules.outcomes import Outcome
from tests.gate.floor import CARD, FIRST, HOUR, KEYS, NOW, SEED, stand

pytestmark = pytest.mark.usefixtures("gate")
MILLION = 1_000_000


def line_of(gate: redis.Redis, *, spent: bytes, called: int, entered: int) -> None:
    """A drawn line in which these numbers are spent, as the bits of a string."""
    gate.set(KEYS.spent(1), spent)
    gate.delete(KEYS.waves(1))
    gate.hset(KEYS.line(1), mapping={"called": called, "entered": entered})


def call(people: int, *, called: int, upto: int = 0) -> int | Outcome:
    return bridge.run(scripts.call(CARD, FIRST, seed=SEED, called=called, people=people, upto=upto))


def one_by_one(spent: bytes, *, called: int, entered: int, people: int) -> int:
    """The last number called, found by looking at every number in turn."""
    last = called
    while people > 0 and last < entered:
        last += 1
        absent = last // 8 < len(spent) and spent[last // 8] >> (7 - last % 8) & 1
        people -= 0 if absent else 1
    return last


def some_bits(chance: random.Random) -> bytes:
    """Runs of absent and of present numbers, and stretches of both, of any length."""
    whole = b""
    for _ in range(chance.randrange(8)):
        fill, length = chance.choice([b"\xff", b"\x00", b""]), chance.choice([1, 2, 7, 8, 60, 500])
        whole += fill * length or chance.randbytes(length)
    return whole


@pytest.mark.parametrize("seed", range(5))
def test_calling_goes_exactly_as_far_as_counting_one_by_one(gate: redis.Redis, seed: int) -> None:
    chance = random.Random(seed)
    stand(called=0)
    for _ in range(120):
        spent = some_bits(chance)
        entered = chance.randrange(1, 8 * len(spent) + 40)
        called = chance.randrange(entered + 1)
        people = chance.choice([1, 2, 3, 8, 9, 64, 1000, 10_000])
        line_of(gate, spent=spent, called=called, entered=entered)
        expected = one_by_one(spent, called=called, entered=entered, people=people)
        assert call(people, called=called) == expected, (spent.hex(), called, entered, people)


@pytest.mark.parametrize("seed", range(5))
def test_calling_never_goes_further_than_the_last_number_that_may_be_called(gate: redis.Redis, seed: int) -> None:
    chance = random.Random(seed)
    stand(called=0)
    for _ in range(120):
        spent = some_bits(chance)
        entered = chance.randrange(1, 8 * len(spent) + 40)
        called = chance.randrange(entered + 1)
        upto, people = chance.randrange(max(1, called - 5), entered + 9), chance.choice([1, 3, 64, 10_000])
        line_of(gate, spent=spent, called=called, entered=entered)
        within = max(called, min(entered, upto))
        expected = one_by_one(spent, called=called, entered=within, people=people)
        assert call(people, called=called, upto=upto) == expected, (spent.hex(), called, entered, upto, people)


def commands(gate: redis.Redis) -> int:
    """How many commands the server has carried out, those of scripts included."""
    return sum(int(stats["calls"]) for stats in gate.info("commandstats").values())


@pytest.mark.parametrize("people", [1, 10, 1000, MILLION])
@pytest.mark.parametrize("pattern", [b"\xff", b"\xfe", b"\xff\xff\xff\xfe", b"\x55", b"\x00"])
def test_a_million_absent_numbers_cost_no_more_than_a_hundred_commands(
    gate: redis.Redis, pattern: bytes, people: int
) -> None:
    stand(called=0)
    spent = (pattern * MILLION)[: MILLION // 8]
    line_of(gate, spent=spent, called=0, entered=MILLION - 1)
    call(0, called=0)
    before = commands(gate)
    called = call(people, called=0)
    assert commands(gate) - before <= 100
    assert called == one_by_one(spent, called=0, entered=MILLION - 1, people=people)


def test_extra_time_that_is_over_costs_a_survey_nothing(gate: redis.Redis) -> None:
    stand(called=0)
    line_of(gate, spent=b"", called=20_000, entered=30_000)
    gate.zadd(KEYS.waves(1), {f"10000:{NOW - 20 * HOUR}": 10_000, f"20000:{NOW + HOUR}": 20_000})
    gate.zadd(KEYS.extra_time(1), {str(number): number for number in range(1, 10_001)})
    for _again in range(2):
        before = commands(gate)
        figures: Any = bridge.run(scripts.survey(CARD, FIRST))
        assert (figures.lapsed, figures.open_claims) == (10_000, 10_000)
    assert commands(gate) - before <= 30


def test_ten_thousand_people_in_their_second_window_are_counted_with_few_commands(gate: redis.Redis) -> None:
    stand(called=0)
    line_of(gate, spent=b"\xf0", called=20_000, entered=30_000)
    now = bridge.run(client.wall_ms())
    gate.zadd(KEYS.waves(1), {f"10000:{now - 90_000}": 10_000, f"20000:{NOW + HOUR}": 20_000})
    gate.zadd(KEYS.extra_time(1), {str(number): number for number in range(1, 10_001)})
    before = commands(gate)
    figures: Any = bridge.run(scripts.survey(CARD, FIRST))
    assert commands(gate) - before <= 40
    # The numbers 1 to 3 are spent.
    assert (figures.lapsed, figures.open_claims, figures.second_claims) == (10_000, 19_997, 9_997)
