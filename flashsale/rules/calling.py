"""How many people of a line may be called now."""

from math import ceil, floor


def people_to_call(
    *,
    free: int,
    open_claims: int,
    waiting: int,
    expected: float,
    overbooking: float,
    rate_left: int,
    claims_cap: int,
) -> int:
    """How many more people to call, so that no unit waits while people do, and each of them who comes in time gets one.

    `free` counts free units, `open_claims` the people who are called and have not reserved yet, `waiting` those who are
    not called yet. `expected` is how many units one person is expected to take: from 1 to the limit. `overbooking` is
    how many times the free units may be promised (1.0: once). `rate_left` is how many calls the rate still allows,
    `claims_cap` how many claims may be open at once.
    """
    claims = promised_claims(free=free, expected=expected, overbooking=overbooking)
    most = _most_claims(free, overbooking)
    if open_claims + waiting <= most:
        claims = most  # there is a unit for each person who waits
    return max(0, min(claims - open_claims, rate_left, claims_cap - open_claims))


def promised_claims(*, free: int, expected: float, overbooking: float) -> int:
    """For how many claims there are units, when each person takes as many as expected.

    Each claim is promised one unit, so there are never more claims than units (times the overbooking). A rest of units
    that is less than one person is expected to take is enough for one more claim.
    """
    return min(ceil(free * overbooking / expected), _most_claims(free, overbooking))


def _most_claims(free: int, overbooking: float) -> int:
    return floor(free * overbooking)


def kept_claims(
    *, free: int, open_claims: int, second_claims: int, expected: float, overbooking: float, share_percent: int
) -> int:
    """For how many open claims units are kept, while other people are called for the rest.

    `second_claims` are those of `open_claims` that are in their second window (extra time). At most `share_percent` of
    the claims for which there are units, but at least one, are kept for them. So extra time lowers the number of people
    called by this share at most, even if every person in the line has it and none of them comes.
    """
    promised = promised_claims(free=free, expected=expected, overbooking=overbooking)
    return open_claims - max(0, second_claims - max(1, promised * share_percent // 100))


def calls_allowed(*, rate_per_s: int, since_ms: int) -> int:
    """How many calls the rate allows `since_ms` after the last call; never more than one second's worth."""
    return max(0, min(rate_per_s, rate_per_s * since_ms // 1000))


def people_ahead(*, number: int, called: int) -> int:
    """How many numbers are called before this one; 0 for the next number and for numbers that were called."""
    return max(0, number - called - 1)
