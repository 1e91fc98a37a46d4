"""The line's clock: wall time minus all time after the opening in which people could not reserve.

Claim windows and holds end by this clock, so an outage or a pause takes no time from shoppers. The clock runs only
while a lease lasts; flashsale/life/clock_lease.py renews the lease. The gate (Redis) computes the same time in
flashsale/gate/lua/prelude.lua; tests/rules/estimate-vectors.json holds both to one formula.
"""

from datetime import UTC, datetime
from typing import NamedTuple

CLOCK_LEASE_MS = 5000
"""How long the clock may run after a process has seen Redis and PostgreSQL answer together."""
CLOCK_RENEWAL_MS = 1000
"""How often a process that looks after the sale renews the lease."""
HOLD_GRACE_MS_MAX = 15_000
"""The longest time after its deadline in which a hold can still be confirmed: see `hold_grace_ms`."""


class ClockLease(NamedTuple):
    """The time in which the line's clock may run: from `since` to `until`, in ms of wall time.

    After `until` the clock stands still, because no process has seen Redis and PostgreSQL answer. Before `since` the
    wall clock has gone back, and the line's clock does not follow it. A stopped clock has a lease that ends where it
    begins. Before the first lease both are 0.
    """

    since: int = 0
    until: int = 0

    def is_running(self, wall: int) -> bool:
        """Whether the clock runs at this moment (ms of wall time).

        `wall` may lie up to one renewal before `since`: so small a difference does not count as a clock set back.
        """
        return self.since < self.until and self.since - CLOCK_RENEWAL_MS <= wall <= self.until


def line_clock(*, wall: int, opens: int, lease: ClockLease, stopped: int) -> int:
    """The time on the line's clock; all values in ms.

    `stopped` is how long the clock stood still before the lease began. Before the first lease the clock does not pass
    the opening, because no process looks after the sale yet, or the sale is paused.
    """
    if not lease.until:
        return min(wall, opens) - stopped
    return max(lease.since, min(wall, lease.until)) - stopped


def hold_grace_ms(hold_ms: int) -> int:
    """How long after its deadline a hold of this length ends, in ms: a third of it, at most HOLD_GRACE_MS_MAX.

    A partner that confirms in time may find a web process that is dead, cut off or too busy, and sends the request
    again. The deadline may pass between the two. So units wait for this time before they are offered again. It is not
    a longer hold: people are told the deadline alone, and a payment that would only begin now is refused.
    """
    return min(HOLD_GRACE_MS_MAX, hold_ms // 3)


def time_of_day(wall_ms: int) -> str:
    """Wall time in RFC 3339, from ms since 1970."""
    return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
