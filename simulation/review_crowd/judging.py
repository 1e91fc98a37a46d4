"""Compares the orders that some rules flag with the truth about simulated sales.

It knows nothing of the rules: it takes the ids of flagged orders. All shares are between 0 and 1. A share of nothing is
1 for what should be found, and 0 for harm.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulation.review_crowd.orders import SimulatedSale

RECALL_AIM, RINGS_AIM, EXCESS_AIM, PRECISION_AIM, KIND_AIM = 0.90, 0.95, 0.93, 0.98, 0.02
# A ring of fewer orders is a matter of the orders alone.
RING_ORDERS_MIN = 5


@dataclass(frozen=True, slots=True)
class RingResult:
    """One ring: its orders and units, how many of them were flagged, and the limit of the sale."""

    kind: str
    orders: int
    found: int
    units: int
    units_found: int
    limit: int

    @property
    def half_found(self) -> bool:
        """Whether at least half of the orders were flagged."""
        return 2 * self.found >= self.orders

    @property
    def excess(self) -> int:
        """Units beyond what one buyer may have."""
        return max(0, self.units - self.limit)

    @property
    def excess_found(self) -> int:
        """Flagged units, without those that one buyer may have when everything is flagged."""
        return min(self.units_found, self.excess)


@dataclass(frozen=True, slots=True)
class KindResult:
    """One kind of people: orders, and households for honest people or rings for rings.

    `touched` counts the households of which at least one order was flagged; of rings, those that are half found.
    """

    kind: str
    ring: bool
    orders: int
    flagged: int
    groups: int
    touched: int

    @property
    def share(self) -> float:
        """Flagged orders of all orders."""
        return self.flagged / self.orders if self.orders else 0.0

    @property
    def touched_share(self) -> float:
        """Touched households of all households, or half-found rings of all rings."""
        return self.touched / self.groups if self.groups else 0.0

    @property
    def held(self) -> bool | None:
        """Whether few enough honest orders and households suffer. None for rings: only all together have aims."""
        return None if self.ring else max(self.share, self.touched_share) <= KIND_AIM


@dataclass(slots=True)
class Judgement:
    """The results of one or more sales together. `by_sale` has the judgement of each sale apart, by seed."""

    rings: list[RingResult] = field(default_factory=list)
    honest_orders: Counter[str] = field(default_factory=Counter)
    honest_flagged: Counter[str] = field(default_factory=Counter)
    households: Counter[str] = field(default_factory=Counter)
    households_touched: Counter[str] = field(default_factory=Counter)
    by_sale: dict[int, "Judgement"] = field(default_factory=dict)

    def add(self, sale: SimulatedSale, flagged: Collection[str]) -> None:
        """Adds one sale. Raises ValueError for an id that is no order of the sale, and for a seed that was added."""
        if sale.seed in self.by_sale:
            raise ValueError(f"the sale of seed {sale.seed} was judged before")
        if unknown := sorted(set(flagged) - sale.truth.keys()):
            raise ValueError(f"{len(unknown)} flagged ids are no orders of the sale of seed {sale.seed}: {unknown[:3]}")
        one = _judge_sale(sale, frozenset(flagged))
        self.by_sale[sale.seed] = one
        self.rings += one.rings
        for mine, other in (
            (self.honest_orders, one.honest_orders),
            (self.honest_flagged, one.honest_flagged),
            (self.households, one.households),
            (self.households_touched, one.households_touched),
        ):
            mine.update(other)

    @property
    def recall(self) -> float:
        """Flagged ring orders of all ring orders."""
        return _share(sum(ring.found for ring in self.rings), sum(ring.orders for ring in self.rings))

    @property
    def precision(self) -> float:
        """Flagged ring orders of all flagged orders."""
        found = sum(ring.found for ring in self.rings)
        return _share(found, found + self.honest_flagged.total())

    @property
    def rings_half_found(self) -> float:
        """Rings of five or more orders of which at least half was flagged, of all rings of five or more."""
        large = [ring for ring in self.rings if ring.orders >= RING_ORDERS_MIN]
        return _share(sum(ring.half_found for ring in large), len(large))

    @property
    def excess_found(self) -> float:
        """Excess units that were found, of all excess units."""
        return _share(sum(ring.excess_found for ring in self.rings), sum(ring.excess for ring in self.rings))

    @property
    def kinds(self) -> list[KindResult]:
        """One row for each kind: rings first, then honest people."""
        rings = [
            _ring_row(kind, [ring for ring in self.rings if ring.kind == kind])
            for kind in sorted({ring.kind for ring in self.rings})
        ]
        return rings + [self._honest_row(kind, [kind]) for kind in sorted(self.honest_orders)]

    @property
    def all_rings(self) -> KindResult:
        """All rings as one row."""
        return _ring_row("all rings", self.rings)

    @property
    def all_honest(self) -> KindResult:
        """All honest people as one row."""
        return self._honest_row("all honest people", list(self.honest_orders))

    def _honest_row(self, name: str, kinds: Sequence[str]) -> KindResult:
        counts = (self.honest_orders, self.honest_flagged, self.households, self.households_touched)
        orders, flagged, groups, touched = (sum(count[kind] for kind in kinds) for count in counts)
        return KindResult(name, ring=False, orders=orders, flagged=flagged, groups=groups, touched=touched)

    @property
    def aims(self) -> list[tuple[str, float, float, float]]:
        """Name, value over all sales, value of the worst sale, and aim (the least value) of each measure."""
        measures: list[tuple[str, Callable[[Judgement], float], float]] = [
            ("recall of ring orders", lambda one: one.recall, RECALL_AIM),
            (f"rings of {RING_ORDERS_MIN} or more, half found", lambda one: one.rings_half_found, RINGS_AIM),
            ("excess units found", lambda one: one.excess_found, EXCESS_AIM),
            ("precision", lambda one: one.precision, PRECISION_AIM),
        ]
        sales = list(self.by_sale.values()) or [self]
        return [(name, value(self), min(value(sale) for sale in sales), aim) for name, value, aim in measures]

    @property
    def held(self) -> bool:
        """Whether all sales together meet every aim."""
        return all(value >= aim for _, value, _, aim in self.aims) and all(row.held is not False for row in self.kinds)

    def as_document(self) -> dict[str, Any]:
        """All results, for JSON."""
        return {
            "held": self.held,
            "measures": [
                {"measure": name, "value": value, "worst_sale": worst, "aim": aim}
                for name, value, worst, aim in self.aims
            ],
            "honest_kind_at_most": KIND_AIM,
            "kinds": [
                {
                    "kind": row.kind,
                    "ring": row.ring,
                    "orders": row.orders,
                    "flagged": row.flagged,
                    "share": row.share,
                    "rings" if row.ring else "households": row.groups,
                    "half_found" if row.ring else "touched": row.touched,
                    "touched_share": row.touched_share,
                }
                for row in self.kinds
            ],
            "sales": {
                str(seed): {name: value for name, value, _, _ in sale.aims} for seed, sale in self.by_sale.items()
            },
        }


def _judge_sale(sale: SimulatedSale, flagged: frozenset[str]) -> Judgement:
    result = Judgement()
    kind_of: dict[str, str] = {}
    sums: dict[str, list[int]] = {}
    households: dict[str, tuple[str, bool]] = {}
    for order in sale.orders:
        truth, hit = sale.truth[order.id], order.id in flagged
        if truth.ring:
            kind_of[truth.ring] = truth.kind
            counts = sums.setdefault(truth.ring, [0, 0, 0, 0])
            for at, more in enumerate((1, hit, order.quantity, hit * order.quantity)):
                counts[at] += more
            continue
        result.honest_orders[truth.kind] += 1
        result.honest_flagged[truth.kind] += hit
        before = households.get(truth.household, (truth.kind, False))[1]
        households[truth.household] = (truth.kind, before or hit)
    for ring, (orders, found, units, units_found) in sums.items():
        result.rings.append(RingResult(kind_of[ring], orders, found, units, units_found, sale.limit))
    result.households.update(kind for kind, _ in households.values())
    result.households_touched.update(kind for kind, touched in households.values() if touched)
    return result


def _ring_row(name: str, rings: Iterable[RingResult]) -> KindResult:
    some = list(rings)
    return KindResult(
        name,
        ring=True,
        orders=sum(ring.orders for ring in some),
        flagged=sum(ring.found for ring in some),
        groups=len(some),
        touched=sum(ring.half_found for ring in some),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
