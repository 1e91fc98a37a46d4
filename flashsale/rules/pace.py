"""How many to call now, and what those who wait may honestly be told."""

from math import ceil, exp, floor, sqrt
from typing import NamedTuple

# How far the share of people who do not come may lie from the one seen so far.
_RATE_ERROR = 0.1
# Chances are shown in steps this wide and never at an end of the scale: more would be pretence.
_CHANCE_STEP = 0.05
# Makes the logistic curve follow the normal one, within a hundredth; the shopper's page computes the same.
_LOGISTIC_SLOPE = 1.702


# While somebody sees gate and books answer, the line's clock may run so long; it is told so once a beat.
LEASE_MS = 5000
BEAT_MS = 1000


class Lease(NamedTuple):
    """Since when and until when the line's clock may run; ms, wall time.

    After it nobody sees gate and books, so the clock stands; before it the wall clock has gone back, and the line's
    does not. A clock that was stopped has a lease that ends as it begins; before the first one, at the opening: (0, 0).
    """

    since: int = 0
    until: int = 0

    def runs(self, wall: int) -> bool:
        """Whether the clock runs at this moment; a wall clock that is behind by less than a beat has not gone back."""
        return self.since < self.until and self.since - BEAT_MS <= wall <= self.until


def line_clock(*, wall: int, opens: int, lease: Lease, stood: int) -> int:
    """The line's clock: wall time less all time after the opening in which nobody could reserve; all in ms.

    It has `stood` so long until the lease began. Before the first lease it goes no further than the opening: since then
    nobody has looked after the sale, or it is paused. The same formula: gate/lua/prelude.lua.
    """
    if not lease.until:
        return min(wall, opens) - stood
    return max(lease.since, min(wall, lease.until)) - stood


class Bucket(NamedTuple):
    """A token bucket: one call every `gap_ms`, `burst` at once; a gap of 0 lets everything through."""

    gap_ms: float
    burst: int


# An honest person enters once and reserves a few times; their browser may repeat itself on a bad network.
IDENTITY = Bucket(gap_ms=1000, burst=30)
PLACE = Bucket(gap_ms=100, burst=50)
# A partner's servers speak for a whole crowd. An address is a high ceiling only: many phones share one (carrier NAT).
PARTNER = Bucket(gap_ms=0.05, burst=20_000)
ADDRESS = Bucket(gap_ms=10, burst=2_000)
UNBOUNDED = Bucket(gap_ms=0, burst=0)


def to_call(*, free: int, open_claims: int, weight: int, overbooking: float, rate_left: int, claims_cap: int) -> int:
    """How many more people to call, so that whoever comes in time gets a unit.

    `weight` is the largest quantity that one of them may buy, `overbooking` how many times the free units may be
    promised (1.0: once), `rate_left` how many calls the rate still allows, `claims_cap` how many claims may be open.
    """
    promised = floor(free * overbooking / weight)
    # The last units are fewer than one person may take; somebody must still be able to take them.
    claims = max(promised, 1) if free > 0 else 0
    return max(0, min(claims - open_claims, rate_left, claims_cap - open_claims))


def accrued(*, rate_per_s: int, since_ms: int) -> int:
    """How many calls a rate allows so long after the last ones: a second's worth at most."""
    return max(0, min(rate_per_s, rate_per_s * since_ms // 1000))


def people_ahead(*, number: int, called: int) -> int:
    """How many numbers are still to be called before this one; 0 for the next one and for those called."""
    return max(0, number - called - 1)


def wait_ms(*, ahead: int, claims: int, free: int, calls_per_s: float) -> int | None:
    """How long until this place is called at the recent rate of calls.

    None while nobody is called, and where it hangs on others giving units back: when those called and not reserved yet
    (`claims`) and the people ahead want all that is free, no rate of the past tells the future.
    """
    if ahead >= free - claims or calls_per_s <= 0:
        return None
    return ceil((ahead + 1) / calls_per_s * 1000)


def chance(*, ahead: int, claims: int, free: int, held: int, no_show_rate: float) -> float:
    """The chance that a unit is left for somebody with so many people ahead: 0.0 when none can be, else 0.05 to 0.95.

    Everybody ahead takes one unit or does not come; those who are called and have not reserved yet (`claims`) stand
    ahead of all who wait. Whoever holds a unit mostly pays: it comes back half as often as people do not come. The rate
    is itself only an estimate, which counts for more the longer the line.
    """
    if free + held <= 0:
        return 0.0
    takers = ahead + claims + held / 2
    margin = free + held / 2 - takers * (1 - no_show_rate) - 0.5
    variance = takers * no_show_rate * (1 - no_show_rate) + (takers * _RATE_ERROR) ** 2
    return _shown(_normal(margin / sqrt(variance))) if variance else _shown(float(margin > 0))


def _normal(deviations: float) -> float:
    return 1 / (1 + exp(-_LOGISTIC_SLOPE * max(-10.0, min(10.0, deviations))))


def _shown(probability: float) -> float:
    steps = round(1 / _CHANCE_STEP)
    # Rounded down: a disappointment after a promise is worse than a surprise.
    return min(max(floor(probability * steps), 1), steps - 1) / steps
