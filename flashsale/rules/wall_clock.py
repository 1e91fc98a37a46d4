"""The wall clock of Redis in this process: every deadline of a shopper or of a payment is compared with it.

How this works
--------------
Deadlines come from Redis and PostgreSQL, and many processes on many hosts compare them. A host whose own clock is wrong
must not end a hold too early, and must not accept one that has ended. So each process asks Redis for its time once a
second, and counts on from the last answer with a clock of the machine that no person sets:

    now = time of Redis in the last answer + what has passed here since that answer

* The answer was on its way for a while, so the result may be wrong by half of that time. Answers that took longer than
  ROUND_TRIP_S_MAX do not count, if there is a better one.
* Redis is away: the process counts on. A clock of a machine drifts by less than 2 s in an hour.
* Redis has not answered since the process began: PostgreSQL's clock counts (life/measure_clock.py). Without both, it is
  the machine's own clock.
* The process stood still, or its machine slept: the clock that it counts with went on.
* The clock of Redis jumps: the next answer follows it, as the lines' clocks do (life/clock_lease.py).

Logs, metrics, and work of staff that no deadline depends on use the machine's own clock.
"""

import time
from datetime import UTC, datetime
from typing import NamedTuple

# As long as a call of Redis may take. Only a process that was busy takes longer.
ROUND_TRIP_S_MAX = 1.0
# It also counts the time in which the machine slept. Linux has it.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class _Reading(NamedTuple):
    """The time of a store (s since 1970) at a moment of our own count (s)."""

    wall_s: float
    at_s: float


class WallClock:
    """Counts on from the last time that a store has told. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._last: _Reading | None = None

    @staticmethod
    def elapsed_s() -> float:
        """Seconds on a clock of this machine that only goes forward, at the speed of time."""
        return time.clock_gettime(_ELAPSED)

    @property
    def is_measured(self) -> bool:
        """Whether a store has told its time since this process began."""
        return self._last is not None

    @property
    def age_s(self) -> float:
        """How long ago the last reading was, in seconds; infinite without one."""
        return self.elapsed_s() - self._last.at_s if self._last else float("inf")

    def note(self, at_ms: int, *, asked_at: float) -> None:
        """Notes the time that a store has just told (ms since 1970). `asked_at` is `elapsed_s` before the question."""
        answered_at = self.elapsed_s()
        if answered_at - asked_at <= ROUND_TRIP_S_MAX or self._last is None:
            self._last = _Reading(at_ms / 1000, (asked_at + answered_at) / 2)

    def forget(self) -> None:
        """Forgets what was measured, as in a new process."""
        self._last = None

    def time_s(self) -> float:
        """The time in seconds since 1970."""
        last = self._last
        if last is None:
            return time.time()
        return last.wall_s + self.elapsed_s() - last.at_s

    def time_ms(self) -> int:
        """The time in whole ms since 1970."""
        return int(self.time_s() * 1000)

    def now(self) -> datetime:
        """The time, with its zone (UTC)."""
        return datetime.fromtimestamp(self.time_s(), UTC)


WALL_CLOCK = WallClock()


def now() -> datetime:
    """The time by the wall clock of Redis, with its zone (UTC)."""
    return WALL_CLOCK.now()


def now_s() -> float:
    """The time by the wall clock of Redis, in seconds since 1970."""
    return WALL_CLOCK.time_s()


def now_ms() -> int:
    """The time by the wall clock of Redis, in ms since 1970."""
    return WALL_CLOCK.time_ms()
