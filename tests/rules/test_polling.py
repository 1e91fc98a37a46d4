"""People hear of a call within a tenth of the claim window, and a crowd costs a bounded rate of requests."""

import random
from bisect import bisect_right
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flashsale.rules import polling
from flashsale.rules.polling import Status, next_poll_ms

CLAIMS = st.integers(polling.CLAIM_MS_MIN, 86_400_000)
# Before each wave: how long the line waits, and how many numbers it would like to call.
WAVES = st.lists(st.tuples(st.integers(1, 120_000), st.integers(0, 2_000_000)), min_size=1, max_size=40)


def status_of(**values: Any) -> Status:
    """The status of a line with a large crowd."""
    crowd = {"opens_at": 0, "entered": 250_000, "called": 0, "claim_ms": 300_000, "poll_ms": polling.LATEST_MS}
    return Status(**crowd | {"pace": 1600} | values)


def called_over_time(rate_per_s: int, waves: list[tuple[int, int]], begins: int) -> tuple[list[int], list[int]]:
    """The times of the waves and the last number after each. As in a tick, no wave goes beyond its reach."""
    times, marks = [0], [0]
    for gap_ms, wanted in [(begins, 0), *waves]:
        since_ms = gap_ms if marks[-1] else polling.BURST_MS
        reach = polling.reach(called=marks[-1], pace=polling.pace(rate_per_s), since_ms=since_ms)
        times.append(times[-1] + gap_ms)
        marks.append(min(marks[-1] + wanted, reach))
    return times, marks


class Line:
    """A line that calls numbers over time, and caches that answer with a document of a moment ago."""

    def __init__(self, times: list[int], marks: list[int], chance: random.Random) -> None:
        self.times, self.marks, self.chance = times, marks, chance

    def answer(self, at: int) -> tuple[int, int]:
        """The time of the document that arrives at `at`, and the last number called in it."""
        made = max(0, at - self.chance.choice([0, polling.STALE_MS, self.chance.randint(0, polling.STALE_MS)]))
        return made, self.marks[bisect_right(self.times, made) - 1]

    def called_at(self, number: int) -> int:
        return next(at for at, mark in zip(self.times, self.marks, strict=True) if mark >= number)


def heard_at(line: Line, status: Status, number: int, *, first: int) -> int:
    """When a person with this number, who asks first at `first`, hears of the call."""
    at = first
    while True:
        made, called = line.answer(at)
        if called >= number:
            return at
        # The person's clock is that of the document.
        asked = replace(status, called=called)
        at += next_poll_ms(asked, now=made, number=number, waiting=True, random=line.chance.random())


@given(
    claim_ms=CLAIMS,
    rate_per_s=st.integers(5, 100_000),
    waves=WAVES,
    place=st.floats(0, 1),
    first=st.integers(0, 200_000),
    opens_at=st.integers(0, 100_000),
    seed=st.integers(0, 1000),
)
@example(
    claim_ms=polling.CLAIM_MS_MIN, rate_per_s=1000, waves=[(60_000, 2_000_000)], place=1.0, first=0, opens_at=0, seed=1
)
def test_people_hear_of_a_call_within_a_tenth_of_the_claim_window_whatever_the_line_calls(
    *, claim_ms: int, rate_per_s: int, waves: list[tuple[int, int]], place: float, first: int, opens_at: int, seed: int
) -> None:
    times, marks = called_over_time(rate_per_s, waves, opens_at)
    if not marks[-1]:
        return
    number = max(1, round(place * marks[-1]))
    line = Line(times, marks, random.Random(seed))
    status = status_of(opens_at=opens_at, claim_ms=claim_ms, pace=polling.pace(rate_per_s))
    called_at = line.called_at(number)
    # A person who first asks after the call hears of it with that answer, or with the next one.
    heard = heard_at(line, status, number, first=min(first, called_at))
    assert heard - called_at <= claim_ms / 10


@given(claim_ms=CLAIMS, waves=WAVES, place=st.floats(0, 1), first=st.integers(0, 200_000), seed=st.integers(0, 1000))
def test_in_a_line_without_a_pace_people_hear_in_time_too(
    claim_ms: int, waves: list[tuple[int, int]], place: float, first: int, seed: int
) -> None:
    times, marks = [0], [0]
    for gap_ms, wanted in waves:
        times.append(times[-1] + gap_ms)
        marks.append(marks[-1] + wanted)
    if not marks[-1]:
        return
    number = max(1, round(place * marks[-1]))
    line = Line(times, marks, random.Random(seed))
    called_at = line.called_at(number)
    heard = heard_at(line, status_of(claim_ms=claim_ms, pace=0), number, first=min(first, called_at))
    assert heard - called_at <= claim_ms / 10


def test_without_the_reach_of_a_wave_the_far_hear_too_late() -> None:
    line = Line([0, 5000], [0, 1_000_000], random.Random(1))
    status = status_of(claim_ms=polling.CLAIM_MS_MIN)
    assert heard_at(line, status, 1_000_000, first=0) - 5000 > polling.CLAIM_MS_MIN / 10


@given(
    claim_ms=CLAIMS,
    people=st.integers(1, 1_000_000),
    first=st.integers(-300_000, -polling.STALE_MS),
    lag=st.integers(0, polling.STALE_MS),
    drawn=st.integers(0, polling.DRAW_MS),
    seed=st.integers(0, 1000),
)
@example(claim_ms=20_000, people=1, first=-51_875, lag=0, drawn=500, seed=173)
def test_the_first_who_are_called_know_their_numbers_in_time(
    *, claim_ms: int, people: int, first: int, lag: int, drawn: int, seed: int
) -> None:
    chance, opens_at = random.Random(seed), 1_000_000
    status = status_of(opens_at=opens_at, claim_ms=claim_ms, entered=people)
    at = opens_at + first
    while at - chance.randint(0, polling.STALE_MS) < opens_at + drawn:
        # The clock that a person knows comes from an old document.
        at += next_poll_ms(status, now=at - lag, number=None, waiting=True, random=chance.random())
    called_at = opens_at + polling.first_call_delay_ms(people=people, claim_ms=claim_ms)
    assert at - called_at <= claim_ms / 10


def requests_per_s(*, people: int, claim_ms: int, rate_per_s: int) -> float:
    """How many requests a second the people of a line send who all wait for their calls."""
    poll_ms = polling.poll_ms(people=people, is_soon=True)
    status = status_of(claim_ms=claim_ms, pace=polling.pace(rate_per_s), poll_ms=poll_ms)
    step = max(1, people // 5000)
    numbers = range(1, people + 1, step)
    waits = (next_poll_ms(status, now=1, number=number, waiting=True, random=0.5) for number in numbers)
    return step * sum(1000 / wait for wait in waits)


@pytest.mark.parametrize(("claim_ms", "most"), [(20_000, 17_000), (60_000, 13_000), (300_000, 11_000)])
def test_a_quarter_of_a_million_people_in_four_lines_send_a_tenth_of_the_requests(claim_ms: int, most: int) -> None:
    sent = 4 * requests_per_s(people=62_500, claim_ms=claim_ms, rate_per_s=150)
    assert sent <= most < 250_000 / 2


def test_a_million_people_in_a_line_send_a_twentieth_of_the_requests() -> None:
    assert requests_per_s(people=1_000_000, claim_ms=60_000, rate_per_s=500) <= 25_000


def test_a_small_crowd_asks_every_two_seconds() -> None:
    status = status_of(poll_ms=polling.poll_ms(people=500, is_soon=True))
    waits = {next_poll_ms(status, now=1, number=400, waiting=True, random=chance / 10) for chance in range(11)}
    assert (min(waits), max(waits)) == (1600, 2000)


def test_the_brake_of_the_operator_wins_over_the_rule() -> None:
    status = status_of(poll_ms=30_000, pace=None)
    waits = [next_poll_ms(status, now=1, number=1, waiting=True, random=chance) for chance in (0.0, 1.0)]
    assert waits == [30_000, 36_000]


def test_people_of_a_crowd_do_not_ask_at_the_same_moment_after_the_opening() -> None:
    status = status_of(opens_at=100_000, entered=250_000)
    chances = [chance / 100 for chance in range(101)]
    waits = [next_poll_ms(status, now=90_000, number=None, waiting=True, random=chance) for chance in chances]
    assert waits == sorted(waits)
    assert waits[-1] - waits[0] == 25_000
    assert waits[0] == 10_000 + polling.DRAW_MS + polling.STALE_MS
