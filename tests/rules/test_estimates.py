"""What waiting people are told comes true at least as often as it was said, in thousands of simulated lines."""

import heapq
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from flashsale.rules.pace import chance, people_ahead, to_call, wait_ms

CLAIM_S, HOLD_S = 60.0, 120.0
TOLD_RATE = 0.1  # what the page takes for granted; in truth it is different in every line
LINES = 1500
ENOUGH = 200  # tellings of one chance, so that its frequency means something


@dataclass
class Line:
    """A line in which some do not come and some do not pay; it calls as the product does, second by second."""

    chance_of: random.Random
    free: int
    people: int
    absent: float
    unpaid: float
    per_s: int
    held: int = 0
    claims: int = 0
    called: int = 0
    now: float = 0.0
    due: list[tuple[float, int, str]] = field(default_factory=list)
    called_at: dict[int, float] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing can change any more."""
        return self.free + self.held == 0 or (self.called >= self.people and not self.due)

    def second(self) -> None:
        """Calls whom it may call, and lets happen what is due."""
        more = to_call(
            free=self.free, open_claims=self.claims, weight=1, overbooking=1.0, rate_left=self.per_s, claims_cap=10**6
        )
        for _ in range(min(more, self.people - self.called)):
            self._call()
        self.now += 1
        while self.due and self.due[0][0] <= self.now:
            at, _, what = heapq.heappop(self.due)
            self._happen(at, what)

    def _call(self) -> None:
        self.called += 1
        self.claims += 1
        self.called_at[self.called] = self.now
        if self.chance_of.random() < self.absent:
            self._later(self.now + CLAIM_S, "lapse")
        else:
            self._later(self.now + self.chance_of.uniform(1, CLAIM_S), "reserve")

    def _happen(self, at: float, what: str) -> None:
        if what == "lapse":
            self.claims -= 1
        elif what == "pay":
            self.held -= 1
        elif what == "expire":
            self.held, self.free = self.held - 1, self.free + 1
        else:
            self.claims, self.free, self.held = self.claims - 1, self.free - 1, self.held + 1
            if self.chance_of.random() < self.unpaid:
                self._later(at + HOLD_S, "expire")
            else:
                self._later(at + self.chance_of.uniform(1, HOLD_S), "pay")

    def _later(self, at: float, what: str) -> None:
        heapq.heappush(self.due, (at, len(self.due), what))


def _about(rng: random.Random, rate: float) -> float:
    return min(0.6, max(0.0, rng.gauss(rate, 0.1)))


def _lines(rng: random.Random, *, all_pay: bool) -> Iterator[Line]:
    for _ in range(LINES):
        units = rng.choice([1, 3, 10, 40, 150])
        people = 2 + int(units * rng.uniform(1, 4))
        unpaid = 0.0 if all_pay else _about(rng, TOLD_RATE)
        yield Line(rng, units, people, _about(rng, TOLD_RATE), unpaid, rng.choice([1, 5, 50]))


def _tellings(line: Line) -> list[tuple[int, float]]:
    """(number, chance told) of six who wait at each of four moments; the line is over afterwards."""
    moments = sorted(line.chance_of.uniform(0, 400) for _ in range(4))
    told: list[tuple[int, float]] = []
    while not line.over:
        line.second()
        while moments and moments[0] <= line.now:
            moments.pop(0)
            told += [_tell(line) for _ in range(6) if line.called < line.people]
    return told


def _tell(line: Line) -> tuple[int, float]:
    number = line.chance_of.randint(line.called + 1, line.people)
    ahead = people_ahead(number=number, called=line.called)
    return number, chance(
        ahead=ahead, claims=line.claims, free=line.free, held=line.held, no_show_rate=TOLD_RATE
    )  # fmt: skip


@pytest.mark.parametrize("all_pay", [False, True], ids=["some do not pay", "everybody pays"])
def test_no_chance_is_told_that_comes_true_five_points_more_rarely(all_pay: bool) -> None:
    came: dict[float, list[bool]] = defaultdict(list)
    for line in _lines(random.Random(20210126), all_pay=all_pay):
        for number, told in _tellings(line):
            came[told].append(number <= line.called)
    often = {told: sum(outcomes) / len(outcomes) for told, outcomes in came.items() if len(outcomes) >= ENOUGH}
    assert {told: round(seen, 3) for told, seen in often.items() if told > seen + 0.05} == {}
    assert {0.05, 0.95} <= set(often)
    assert often[0.95] > 0.99
    assert not any(came[0.0])


@pytest.mark.parametrize("seed", range(20))
def test_a_wait_is_told_to_the_second_or_not_at_all(seed: int) -> None:
    rng = random.Random(seed)
    line = Line(rng, free=2_000, people=3_000, absent=rng.uniform(0, 0.4), unpaid=rng.uniform(0, 0.4), per_s=20)
    for _ in range(rng.randint(30, 90)):
        line.second()
    start, called, unpromised = line.now, line.called, line.free - line.claims
    told = {
        called + 1 + ahead: wait_ms(ahead=ahead, claims=line.claims, free=line.free, calls_per_s=called / start)
        for ahead in range(line.people - called)
    }
    while not line.over:
        line.second()
    known = {number: wait for number, wait in told.items() if wait is not None}
    assert len(known) == unpromised > 100
    assert all(abs(wait - 1000 * (line.called_at[number] - start)) <= 1000 for number, wait in known.items())
