"""How evenly units were spread, and how figures are told without pointing at anybody."""

from collections.abc import Mapping

# A group of people smaller than this is not told apart from the others.
GROUP_MIN = 5
OTHER = "other"


def gini(holders: Mapping[int, int]) -> float:
    """The Gini coefficient over holders of units, given as units → how many hold so many: 0 when all hold the same."""
    people = sum(holders.values())
    units = sum(size * count for size, count in holders.items())
    if not units:
        return 0.0
    # The area under the Lorenz curve, from the smallest holders to the largest.
    below, area = 0, 0
    for size, count in sorted(holders.items()):
        area += count * (2 * below + size * count)
        below += size * count
    return round(1 - area / (people * units), 4)


def folded(counts: Mapping[str, int]) -> dict[str, int]:
    """The same total, the largest first; kinds with fewer than GROUP_MIN people go together as "other"."""
    told = {name: count for name, count in counts.items() if count >= GROUP_MIN}
    rest = sum(counts.values()) - sum(told.values())
    ordered = dict(sorted(told.items(), key=lambda pair: (-pair[1], pair[0])))
    return ordered | ({OTHER: rest} if rest else {})
