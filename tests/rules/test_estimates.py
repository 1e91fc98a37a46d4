"""What the page says to waiting people comes true at least as often as it says, in thousands of simulated lines."""

import heapq
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.calling import people_ahead, people_to_call
from tests.rules.estimates import NO_SHOW_RATE, chance, vectors, wait_ms

VECTORS = json.loads((Path(__file__).parent / "estimate-vectors.json").read_text(encoding="utf-8"))
COUNTS = st.integers(0, 2_000_000)
RATES = st.floats(0, 1)
CLAIM_S, HOLD_S = 60.0, 120.0
LINES = 1500
ENOUGH = 200  # estimates of one chance, so that its frequency means something


def test_the_vectors_are_those_of_the_reference() -> None:
    assert vectors() == VECTORS


@dataclass
class Line:
    """A line in which some people do not come and some do not pay. It calls people each second, as the product does."""

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
        """Calls as many people as allowed, then lets one second pass."""
        more = people_to_call(
            free=self.free, open_claims=self.claims, waiting=self.people - self.called, expected=1, overbooking=1.0,
            rate_left=self.per_s, claims_cap=10**6,
        )  # fmt: skip
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
        unpaid = 0.0 if all_pay else _about(rng, NO_SHOW_RATE)
        yield Line(rng, units, people, _about(rng, NO_SHOW_RATE), unpaid, rng.choice([1, 5, 50]))


def _estimates(line: Line) -> list[tuple[int, float]]:
    """(number, estimated chance) of six people who wait, at each of four moments. Afterwards the line is over."""
    moments = sorted(line.chance_of.uniform(0, 400) for _ in range(4))
    estimates: list[tuple[int, float]] = []
    while not line.over:
        line.second()
        while moments and moments[0] <= line.now:
            moments.pop(0)
            estimates += [_estimate(line) for _ in range(6) if line.called < line.people]
    return estimates


def _estimate(line: Line) -> tuple[int, float]:
    number = line.chance_of.randint(line.called + 1, line.people)
    ahead = people_ahead(number=number, called=line.called)
    return number, chance(ahead=ahead, claims=line.claims, free=line.free, held=line.held)


@pytest.mark.parametrize("all_pay", [False, True], ids=["some do not pay", "all pay"])
def test_no_chance_comes_true_five_points_more_rarely_than_estimated(all_pay: bool) -> None:
    came: dict[float, list[bool]] = defaultdict(list)
    for line in _lines(random.Random(20210126), all_pay=all_pay):
        for number, estimate in _estimates(line):
            came[estimate].append(number <= line.called)
    often = {
        estimate: sum(came_true) / len(came_true) for estimate, came_true in came.items() if len(came_true) >= ENOUGH
    }
    assert {estimate: round(share, 3) for estimate, share in often.items() if estimate > share + 0.05} == {}
    assert {0.05, 0.95} <= set(often)
    assert often[0.95] > 0.99
    assert not any(came[0.0])


@pytest.mark.parametrize("seed", range(20))
def test_a_wait_is_estimated_to_the_second_or_not_at_all(seed: int) -> None:
    rng = random.Random(seed)
    line = Line(rng, free=2_000, people=3_000, absent=rng.uniform(0, 0.4), unpaid=rng.uniform(0, 0.4), per_s=20)
    for _ in range(rng.randint(30, 90)):
        line.second()
    start, called, unpromised = line.now, line.called, line.free - line.claims
    waits = {
        called + 1 + ahead: wait_ms(ahead=ahead, claims=line.claims, free=line.free, calls_per_s=called / start)
        for ahead in range(line.people - called)
    }
    while not line.over:
        line.second()
    known = {number: wait for number, wait in waits.items() if wait is not None}
    assert len(known) == unpromised > 100
    assert all(abs(wait - 1000 * (line.called_at[number] - start)) <= 1000 for number, wait in known.items())


def test_wait_follows_the_recent_rate_and_is_unknown_without_one() -> None:
    assert wait_ms(ahead=299, claims=0, free=300, calls_per_s=20.0) == 15_000
    assert wait_ms(ahead=0, claims=5, free=6, calls_per_s=3.0) == 334
    assert wait_ms(ahead=0, claims=0, free=1, calls_per_s=0.0) is None


def test_wait_is_unknown_where_it_hangs_on_what_others_give_back() -> None:
    assert wait_ms(ahead=300, claims=0, free=300, calls_per_s=20.0) is None
    assert wait_ms(ahead=299, claims=1, free=300, calls_per_s=20.0) is None
    assert wait_ms(ahead=0, claims=0, free=0, calls_per_s=20.0) is None


@pytest.mark.parametrize(
    ("ahead", "claims", "free", "held", "no_show_rate", "shown"),
    [
        (0, 0, 600, 0, 0.1, 0.95),
        (0, 0, 1, 0, 0.0, 0.95),
        (1, 0, 1, 0, 0.0, 0.05),
        (1, 0, 1, 0, 0.5, 0.5),
        (660, 0, 600, 0, 0.1, 0.5),
        (1839, 0, 600, 0, 0.1, 0.05),
        (0, 0, 0, 1000, 0.1, 0.8),
        (0, 0, 0, 1, 0.0, 0.05),
        (1_000_000, 0, 50_000, 0, 0.1, 0.05),
        (0, 600, 600, 0, 0.1, 0.8),
        (100, 600, 600, 0, 0.1, 0.3),
        (0, 1, 1, 0, 0.0, 0.05),
        (0, 0, 0, 0, 0.1, 0.0),
        (10, 0, 0, 0, 1.0, 0.0),
    ],
)
def test_chance_shown_is(ahead: int, claims: int, free: int, held: int, no_show_rate: float, shown: float) -> None:  # noqa: PLR0917
    assert chance(ahead=ahead, claims=claims, free=free, held=held, no_show_rate=no_show_rate) == shown


@given(ahead=COUNTS, claims=COUNTS, free=COUNTS, held=COUNTS, no_show_rate=RATES)
def test_chance_is_never_shown_as_certain_while_a_unit_is_left(
    ahead: int, claims: int, free: int, held: int, no_show_rate: float
) -> None:
    shown = chance(ahead=ahead, claims=claims, free=free, held=held, no_show_rate=no_show_rate)
    assert shown == 0.0 if free + held == 0 else 0.05 <= shown <= 0.95


@given(ahead=st.integers(0, 5000), free=st.integers(1, 5000), no_show_rate=RATES)
def test_a_unit_more_never_lowers_the_chance_shown(ahead: int, free: int, no_show_rate: float) -> None:
    now = chance(ahead=ahead, claims=0, free=free, held=0, no_show_rate=no_show_rate)
    assert chance(ahead=ahead, claims=0, free=free + 1, held=0, no_show_rate=no_show_rate) >= now
