"""What the fairness report tells as a story: how many people got how many units how fast, and who came when.

The figures are counts of people and units from PostgreSQL (the books), and the times of calls that were copied from
Redis (the gate). They join the published document of fairness_report.py.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from flashsale.models import Allocation, Reservation, Sale
from flashsale.models.sale import ms
from flashsale.rules.gini import GROUP_MIN
from flashsale.rules.states import AllocationMode

# The figures of this file in a report that was made before they were counted, and is not made again.
NOT_COUNTED: Mapping[str, Any] = {
    "headline": None,
    "over_time": {"at_s": [], "called": [], "reserved": [], "bought": [], "sold_s": None},
    "by_entering": [],
    "more_than_one": [],
}
# A curve has at most so many steps.
STEPS_MAX = 60
# The cohort of the draw is told in so many parts, by the order of entering.
PARTS = 4


def headline(
    lines: Sequence[Mapping[str, Any]], spread: Sequence[Mapping[str, Any]], timeline: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of the first sentence: people in our lines, units offered and bought, buyers, the most of one buyer.

    Buyers are counted by the first axis whose limit the sale enforces. `sold_s`: seconds from the opening until the
    last unit was paid, None if none was. `lines` and `spread` are `lines` and `concentration` of the report.
    """
    by = next((row["bought"] for row in spread if row["limited"]), {"holders": 0, "largest": 0})
    units = sum(line["units"]["new"] + line["units"]["moved_in"] for line in lines)
    return {
        "people": sum(line["entered"] for line in lines if line["by_our_line"]),
        "units": units,
        "bought": timeline["bought"][-1] if timeline["bought"] else 0,
        "buyers": by["holders"],
        "most": by["largest"],
        "sold_s": timeline["sold_s"],
    }


def over_time(sale: Sale, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many numbers were called, units reserved and units bought until each step after the opening.

    `at_s` are the ends of the steps in seconds. The lists are as long as `at_s` and never fall: orders that ended later
    still count. `called` is the sum over our lines.
    """
    opened = ms(sale.opens_at)
    made: Counter[int] = Counter()
    paid: Counter[int] = Counter()
    rows = Reservation.objects.filter(sale=sale, confirmed_at__isnull=False)
    for made_at, confirmed_at, units in rows.values_list("made_at", "confirmed_at", "quantity").iterator():
        made[_second(ms(made_at), opened)] += units
        if confirmed_at:
            paid[_second(ms(confirmed_at), opened)] += units
    calls = [line["calls"] for line in lines if line["by_our_line"]]
    last = max([*made, *paid, *(line[-1][0] for line in calls if line)], default=0)
    step = max(1, -(-last // STEPS_MAX))
    at_s = list(range(step, last + step, step)) or [step]
    if not made and not any(calls):
        return dict(NOT_COUNTED["over_time"])
    return {
        "at_s": at_s,
        "called": [sum(_called_until(line, at) for line in calls) for at in at_s],
        "reserved": _until(made, at_s),
        "bought": _until(paid, at_s),
        "sold_s": max(paid, default=None),
    }


def _second(at_ms: int, opened_ms: int) -> int:
    return max(0, at_ms - opened_ms) // 1000


def _called_until(calls: Sequence[Sequence[int]], second: int) -> int:
    at = bisect_right(calls, second, key=lambda call: call[0])
    return calls[at - 1][1] if at else 0


def _until(counts: Mapping[int, int], at_s: Sequence[int]) -> list[int]:
    seconds = sorted(counts)
    sums = [0, *accumulate(counts[second] for second in seconds)]
    return [sums[bisect_right(seconds, at)] for at in at_s]


def by_entering(sale: Sale, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Units by when their buyers entered our lines: in which quarter of the draw, or after it.

    Each row has `part` (1 to 4, or "later"), the `people` who entered in it, and the units that they `bought`. In a
    fair draw the quarters differ by chance alone. A part with fewer than GROUP_MIN people is left out.
    `lines` is `lines` of the report.
    """
    entered = {line["line"]: line["entered"] for line in lines}
    people: Counter[int | str] = Counter()
    bought: Counter[int | str] = Counter()
    for line in sale.allocations.filter(mode=AllocationMode.LINE, carries=None):
        cohort = line.cohort or 0
        for part in range(1, PARTS + 1):
            people[part] += cohort * part // PARTS - cohort * (part - 1) // PARTS
        people["later"] += max(0, entered[line.code] - cohort)
        for index, units in _bought(line):
            bought[_part_of(index, cohort)] += units
    parts: Iterable[int | str] = (*range(1, PARTS + 1), "later")
    return [
        {"part": str(part), "people": people[part], "bought": bought[part]}
        for part in parts
        if people[part] >= GROUP_MIN
    ]


def _part_of(index: int, cohort: int) -> int | str:
    return next((part for part in range(1, PARTS + 1) if index <= cohort * part // PARTS), "later")


def _bought(line: Allocation) -> Iterable[tuple[int, int]]:
    rows = Reservation.objects.filter(allocation=line, confirmed_at__isnull=False)
    return rows.values_list("index", "quantity").iterator()


def more_than_one(sizes: Mapping[str, Mapping[int, int]]) -> list[dict[str, Any]]:
    """By axis: how many phones, addresses … had more than one unit, how many units these are, and of how many.

    `sizes` maps an axis to {number of units: how many had that many}. Fewer than GROUP_MIN phones with several units
    are None, because a reader may know whose they are.
    """
    return [
        {
            "axis": axis,
            "holders": several if several >= GROUP_MIN or not several else None,
            "units": units if several >= GROUP_MIN or not several else None,
            "of": sum(size * count for size, count in counts.items()),
        }
        for axis, counts in sizes.items()
        for several in [sum(count for size, count in counts.items() if size > 1)]
        for units in [sum(size * count for size, count in counts.items() if size > 1)]
    ]
