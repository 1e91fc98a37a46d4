"""The wall clock of Redis in this process: every deadline of a shopper or of a payment is compared with it.

How this works
--------------
Deadlines come from Redis and PostgreSQL, and many processes on many hosts compare them. A host whose own clock is wrong
must not end a hold too early, and must not accept one that has ended. So each process asks Redis for its time once a
second, and counts on from the last answer with a clock of the machine that no person sets:

    now = what has passed here + an offset, which each answer of Redis may correct

* Redis read its clock somewhere between the question and the answer. So an answer says between which two times it is
  now, and no more. The process keeps the time that it has while that lies between the two, and else takes the nearer
  one. At first it has the machine's own time. So an answer that took long does no harm, and the clock is wrong by less
  than the fastest answer took.
* Redis is away: the process counts on. A clock of a machine drifts by less than 2 s in an hour.
* Redis has not answered since the process began: PostgreSQL's clock counts (life/measure_clock.py). Without both, it is
  the machine's own clock.
* The process stood still, or its machine slept: the clock that it counts with went on.
* The clock of Redis jumps: the next answer follows it, as the lines' clocks do (life/clock_lease.py).

Logs, metrics, and work of staff that no deadline depends on use the machine's own clock.
"""

import time
from datetime import UTC, datetime
from math import inf

# It also counts the time in which the machine slept. Linux has it.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class WallClock:
    """Counts on from the last time that a store has told. All methods may be called from any thread."""

    def __init__(self) -> None:
        # Seconds since 1970 at a count of 0, and the count at the last answer.
        self._offset_s: float | None = None
        self._noted_at = -inf

    @staticmethod
    def elapsed_s() -> float:
        """Seconds on a clock of this machine that only goes forward, at the speed of time."""
        return time.clock_gettime(_ELAPSED)

    @property
    def is_measured(self) -> bool:
        """Whether a store has told its time since this process began."""
        return self._offset_s is not None

    @property
    def age_s(self) -> float:
        """How long ago the last reading was, in seconds; infinite without one."""
        return self.elapsed_s() - self._noted_at

    def note(self, at_ms: int, *, asked_at: float) -> None:
        """Notes the time that a store has just told (ms since 1970). `asked_at` is `elapsed_s` before the question."""
        answered_at = self.elapsed_s()
        known = time.time() - answered_at if self._offset_s is None else self._offset_s
        earliest, latest = at_ms / 1000 - answered_at, at_ms / 1000 - asked_at
        self._offset_s, self._noted_at = min(max(known, earliest), latest), answered_at

    def forget(self) -> None:
        """Forgets what was measured, as in a new process."""
        self._offset_s, self._noted_at = None, -inf

    def time_s(self) -> float:
        """The time in seconds since 1970."""
        offset_s = self._offset_s
        return time.time() if offset_s is None else offset_s + self.elapsed_s()

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
