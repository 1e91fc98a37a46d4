"""The wall clock of Redis in a process counts on from the last answer, whatever the machine's own clock shows."""

import time
from datetime import UTC, datetime

import pytest

from flashsale.rules import wall_clock
from flashsale.rules.wall_clock import WallClock

REDIS_MS = 1_900_000_000_000


class Counted(WallClock):
    """A clock whose count a test moves."""

    count_s = 50.0

    @classmethod
    def elapsed_s(cls) -> float:
        return cls.count_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    monkeypatch.setattr(Counted, "count_s", 50.0)
    return Counted()


def passes(clock: WallClock, seconds: float) -> None:
    type(clock).count_s += seconds  # type: ignore[attr-defined]


def told(clock: WallClock, at_ms: int, *, round_trip_s: float = 0.0) -> None:
    asked_at = clock.elapsed_s()
    passes(clock, round_trip_s)
    clock.note(at_ms, asked_at=asked_at)


@pytest.mark.parametrize("wrong_s", [-900, 900])
def test_it_shows_the_time_of_redis_on_a_machine_whose_clock_is_wrong(
    clock: WallClock, wrong_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: REDIS_MS / 1000 + wrong_s)
    assert clock.time_ms() == REDIS_MS + wrong_s * 1000  # the control: nothing is measured yet
    assert (clock.is_measured, clock.age_s) == (False, float("inf"))
    told(clock, REDIS_MS)
    assert (clock.is_measured, clock.time_ms()) == (True, REDIS_MS)
    passes(clock, 3600.25)  # Redis is away for an hour
    assert (clock.time_ms(), clock.age_s) == (REDIS_MS + 3_600_250, 3600.25)
    assert clock.now() == datetime.fromtimestamp(REDIS_MS / 1000 + 3600.25, UTC)
    clock.forget()
    assert clock.time_ms() == REDIS_MS + wrong_s * 1000


def test_it_follows_a_jump_of_redis(clock: WallClock) -> None:
    told(clock, REDIS_MS)
    told(clock, REDIS_MS - 600_000)
    assert clock.time_ms() == REDIS_MS - 600_000
    told(clock, REDIS_MS)
    assert clock.time_ms() == REDIS_MS


@pytest.mark.parametrize(("known_ms", "then_ms"), [(7000, 7000), (4000, 5000), (9500, 9000)])
def test_an_answer_changes_the_time_only_as_far_as_it_disproves_it(
    clock: WallClock, known_ms: int, then_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis showed 5 s at some moment of the 4 s that the answer took, so it shows 5 s to 9 s when the answer comes."""
    monkeypatch.setattr(time, "time", lambda: (REDIS_MS + known_ms) / 1000)
    told(clock, REDIS_MS + 5000, round_trip_s=4.0)
    assert clock.time_ms() == REDIS_MS + then_ms
    told(clock, REDIS_MS + 40_000, round_trip_s=60.0)
    assert clock.time_ms() == REDIS_MS + then_ms + 60_000


def test_the_process_has_one_clock() -> None:
    wall_clock.WALL_CLOCK.note(REDIS_MS, asked_at=WallClock.elapsed_s())
    shown = (wall_clock.now_ms(), int(wall_clock.now_s() * 1000), int(wall_clock.now().timestamp() * 1000))
    assert all(REDIS_MS <= one < REDIS_MS + 60_000 for one in shown)
