"""What the waiting page says about the future, as a reference in Python for its script (static/flashsale/line.js).

Production computes these only in the browser. Here they are simulated in thousands of lines (test_estimates.py), and
`estimate-vectors.json` holds both languages to the same results. After a change of a formula, write it again:

    python -m tests.rules.estimates > tests/rules/estimate-vectors.json
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import product
from math import ceil, exp, floor, sqrt
from typing import Any

from flashsale.rules.clock import ClockLease, line_clock
from flashsale.rules.polling import Status, next_poll_ms

NO_SHOW_RATE = 0.1
"""The page assumes that one called person in ten does not come."""
# How much the true share of people who do not come may differ from the assumed one.
_RATE_ERROR = 0.1
# Chances are shown in steps of this width and never as 0 or 1, because the estimate is not more exact.
_CHANCE_STEP = 0.05
# With this slope the logistic curve differs from the normal distribution by less than a hundredth.
_LOGISTIC_SLOPE = 1.702


def wait_ms(*, ahead: int, claims: int, free: int, calls_per_s: float) -> int | None:
    """How long until this place is called at the recent rate of calls.

    None when no people are called now. None also when the people ahead and the people who are called and have not
    reserved yet (`claims`) may take all free units: then the wait depends on units that others give back, and no past
    rate predicts it.
    """
    if ahead >= free - claims or calls_per_s <= 0:
        return None
    return ceil((ahead + 1) / calls_per_s * 1000)


def chance(*, ahead: int, claims: int, free: int, held: int, no_show_rate: float = NO_SHOW_RATE) -> float:
    """The chance that a unit is left for a person with so many people ahead: 0.05 to 0.95, or 0.0 when none can be.

    Each person ahead takes one unit or does not come. People who are called and have not reserved yet (`claims`) stand
    ahead of all who wait. Most people who hold a unit pay for it: a held unit comes back half as often as a called
    person does not come. The rate is only an estimate, and its error counts more in a longer line.
    """
    if free + held <= 0:
        return 0.0
    takers = ahead + claims + held / 2
    margin = free + held / 2 - takers * (1 - no_show_rate) - 0.5
    variance = takers * no_show_rate * (1 - no_show_rate) + (takers * _RATE_ERROR) ** 2
    return _rounded(_normal(margin / sqrt(variance))) if variance else _rounded(float(margin > 0))


def _normal(deviations: float) -> float:
    return 1 / (1 + exp(-_LOGISTIC_SLOPE * max(-10.0, min(10.0, deviations))))


def _rounded(probability: float) -> float:
    steps = round(1 / _CHANCE_STEP)
    # Rounds down, because a disappointment after a promise is worse than a surprise.
    return min(max(floor(probability * steps), 1), steps - 1) / steps


def _chances() -> Iterator[dict[str, Any]]:
    sizes = [0, 1, 7, 60, 500]
    for free, held, claims, ahead in product(sizes, sizes, [0, 5], [*sizes, 9000]):
        case = {"free": free, "held": held, "claims": claims, "ahead": ahead}
        yield {**case, "chance": chance(**case)}


def _waits() -> Iterator[dict[str, Any]]:
    for free, claims, ahead, calls_per_s in product([0, 1, 6, 300], [0, 1, 5], [0, 1, 299, 300], [0, 3, 20]):
        case = {"free": free, "claims": claims, "ahead": ahead, "calls_per_s": calls_per_s}
        yield {**case, "wait_ms": wait_ms(**case)}


def _clocks() -> Iterator[dict[str, Any]]:
    opens = 1_000_000
    leases = [
        (0, 0),
        (opens, opens),
        (opens, opens + 5000),
        (opens + 60_000, opens + 65_000),
        (opens - 9000, opens - 4000),
    ]
    walls = [opens - 10_000, opens - 1, opens, opens + 1, opens + 5000, opens + 5001, opens + 59_500, opens + 62_000]
    for (since, until), wall, stopped in product(leases, walls, [0, 2500]):
        case = {"wall": wall, "opens": opens, "stopped": stopped}
        now = line_clock(**case, lease=ClockLease(since, until))
        yield {**case, "lease": [since, until], "now": now}


CROWD = Status(opens_at=1_000_000, entered=250_000, called=0, claim_ms=300_000, poll_ms=60_000, pace=1600)


def _polls() -> Iterator[dict[str, Any]]:
    statuses = [
        CROWD,
        replace(CROWD, called=300, claim_ms=20_000),
        replace(CROWD, pace=0),
        replace(CROWD, poll_ms=2000, entered=400),
        replace(CROWD, poll_ms=7000, pace=None),
    ]
    shoppers: list[tuple[int | None, bool]] = [(None, True), (None, False), (1, True), (301, True), (90_000, True)]
    for status, (number, waiting) in product(statuses, shoppers):
        for now, random in product([900_000, 999_000, 1_000_000, 1_500_000], [0.0, 0.5, 1.0]):
            asked_by: dict[str, Any] = {"now": now, "number": number, "waiting": waiting, "random": random}
            yield {"status": asdict(status), **asked_by, "next_ms": next_poll_ms(status, **asked_by)}


def vectors() -> dict[str, list[dict[str, Any]]]:
    """Inputs and results of all formulas."""
    found = {"chance": _chances(), "wait": _waits(), "line_clock": _clocks(), "poll": _polls()}
    return {name: list(cases) for name, cases in found.items()}


if __name__ == "__main__":
    rows = {name: ",\n  ".join(map(json.dumps, cases)) for name, cases in vectors().items()}
    sys.stdout.write("{" + ",\n".join(f'"{name}": [\n  {cases}\n]' for name, cases in rows.items()) + "}\n")
