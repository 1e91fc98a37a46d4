"""How many to call now, and what those who wait may honestly be told."""

from math import ceil, exp, floor, sqrt

# How far the share of people who do not come may lie from the one seen so far.
_RATE_ERROR = 0.1
# Chances are shown in steps this wide and never at an end of the scale: more would be pretence.
_CHANCE_STEP = 0.05
# Makes the logistic curve follow the normal one, within a hundredth; the shopper's page computes the same.
_LOGISTIC_SLOPE = 1.702


def to_call(*, free: int, open_claims: int, weight: int, overbooking: float, rate_left: int, claims_cap: int) -> int:
    """How many more people to call, so that whoever comes in time gets a unit.

    `weight` is the largest quantity that one of them may buy, `overbooking` how many times the free units may be
    promised (1.0: once), `rate_left` how many calls the rate still allows, `claims_cap` how many claims may be open.
    """
    promised = floor(free * overbooking / weight)
    # The last units are fewer than one person may take; somebody must still be able to take them.
    claims = max(promised, 1) if free > 0 else 0
    return max(0, min(claims - open_claims, rate_left, claims_cap - open_claims))


def people_ahead(*, number: int, called: int) -> int:
    """How many numbers are still to be called before this one; 0 for the next one and for those called."""
    return max(0, number - called - 1)


def wait_ms(*, ahead: int, calls_per_s: float) -> int | None:
    """How long until this place is called at the recent rate of calls, or None while nobody is called."""
    return ceil((ahead + 1) / calls_per_s * 1000) if calls_per_s > 0 else None


def chance(*, ahead: int, free: int, held: int, no_show_rate: float) -> float:
    """The chance that a unit is left for somebody with so many people ahead: 0.0 when none can be, else 0.05 to 0.95.

    Everybody ahead takes one unit or does not come, and a held unit comes back as often as people do not come. The
    rate is itself only an estimate, which counts for more the longer the line.
    """
    if free + held <= 0:
        return 0.0
    margin = free + held * no_show_rate - ahead * (1 - no_show_rate) - 0.5
    variance = (ahead + held) * no_show_rate * (1 - no_show_rate) + ((ahead + held) * _RATE_ERROR) ** 2
    return _shown(_normal(margin / sqrt(variance))) if variance else _shown(float(margin > 0))


def _normal(deviations: float) -> float:
    return 1 / (1 + exp(-_LOGISTIC_SLOPE * max(-10.0, min(10.0, deviations))))


def _shown(probability: float) -> float:
    steps = round(1 / _CHANCE_STEP)
    # Rounded down: a disappointment after a promise is worse than a surprise.
    return min(max(floor(probability * steps), 1), steps - 1) / steps
