"""Figures of the fairness report: how evenly units were spread, and counts that point at no single person."""

from collections.abc import Mapping

# A smaller group is not shown by itself, because a reader could guess who is in it.
GROUP_MIN = 5
OTHER = "other"


def gini(holders: Mapping[int, int]) -> float:
    """The Gini coefficient of the spread of units: 0 when all holders have the same number, near 1 when few have most.

    `holders` maps a number of units to how many people hold that many. Rounded to four digits.
    """
    people = sum(holders.values())
    units = sum(size * count for size, count in holders.items())
    if not units:
        return 0.0
    # The area below the Lorenz curve, from the smallest holders to the largest.
    below, area = 0, 0
    for size, count in sorted(holders.items()):
        area += count * (2 * below + size * count)
        below += size * count
    return round(1 - area / (people * units), 4)


def merge_small_groups(counts: Mapping[str, int]) -> dict[str, int]:
    """The same counts with the largest first; those below GROUP_MIN are added up as "other"."""
    large = {name: count for name, count in counts.items() if count >= GROUP_MIN}
    rest = sum(counts.values()) - sum(large.values())
    ordered = dict(sorted(large.items(), key=lambda pair: (-pair[1], pair[0])))
    return ordered | ({OTHER: rest} if rest else {})
