"""How many people of a line may be called now."""

from math import floor


def people_to_call(
    *, free: int, open_claims: int, weight: int, overbooking: float, rate_left: int, claims_cap: int
) -> int:
    """How many more people to call, so that each of them who comes in time gets a unit.

    `free` counts free units, `open_claims` the people who are called and have not reserved yet. `weight` is the largest
    quantity that one person may buy. `overbooking` is how many times the free units may be promised (1.0: once).
    `rate_left` is how many calls the rate still allows, `claims_cap` how many claims may be open at once.
    """
    promised = floor(free * overbooking / weight)
    # The last units may be fewer than one person may buy. One person is still called for them.
    claims = max(promised, 1) if free > 0 else 0
    return max(0, min(claims - open_claims, rate_left, claims_cap - open_claims))


def kept_claims(
    *, free: int, open_claims: int, second_claims: int, weight: int, overbooking: float, share_percent: int
) -> int:
    """For how many open claims units are kept, while other people are called for the rest.

    `second_claims` are those of `open_claims` that are in their second window (extra time). At most `share_percent` of
    the claims for which there are units, but at least one, are kept for them. So extra time lowers the number of people
    called by this share at most, even if every person in the line has it and none of them comes.
    """
    promised = floor(free * overbooking / weight)
    return open_claims - max(0, second_claims - max(1, promised * share_percent // 100))


def calls_allowed(*, rate_per_s: int, since_ms: int) -> int:
    """How many calls the rate allows `since_ms` after the last call; never more than one second's worth."""
    return max(0, min(rate_per_s, rate_per_s * since_ms // 1000))


def people_ahead(*, number: int, called: int) -> int:
    """How many numbers are called before this one; 0 for the next number and for numbers that were called."""
    return max(0, number - called - 1)
