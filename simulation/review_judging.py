"""Measures how well the review's rules separate rings from households, on simulated sales whose truth is known."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from flashsale.rules.identity import Axis, canonical_value
from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.rule_set import RuleSet
from flashsale.rules.review.suspicion import Order, score_orders, suspicious
from simulation.honest_crowd import HouseholdFactory, Purchase
from simulation.reseller_rings import RingFactory

SOLD_IN_MS = 300_000
HONEST_SHARE = 0.95
RECALL_AIM, PRECISION_AIM, KIND_AIM = 0.95, 0.98, 0.02


def purchases(*, seed: int, orders: int) -> list[Purchase]:
    """At least `orders` orders of one sale; one in twenty is of a ring. The same seed gives the same orders."""
    rng = random.Random(seed)
    people = HouseholdFactory(rng, sold_in_ms=SOLD_IN_MS)
    rings = RingFactory(rng, people)
    made: list[Purchase] = []
    taken: set[str] = set()
    bad = 0
    while len(made) < orders:
        for one in rings.ring() if bad < (1 - HONEST_SHARE) * len(made) else people.household():
            # The limit refuses a second order with the same phone or mailbox.
            if taken.isdisjoint((one.phone, one.email)):
                taken |= {one.phone, one.email}
                made.append(one)
                bad += one.ring
    rng.shuffle(made)
    return made


def as_orders(made: Sequence[Purchase]) -> Iterator[Order]:
    """The purchases in the form that the review reads."""
    for at, one in enumerate(made):
        values = {
            Axis.PHONE: one.phone,
            Axis.EMAIL: one.email,
            Axis.DEVICE: one.device,
            Axis.PAYMENT: one.card,
            Axis.ADDRESS: one.address,
            Axis.NETWORK: one.network,
        }
        traits = {axis: sha256(canonical_value(axis, value).encode()).digest()[:16] for axis, value in values.items()}
        buyer = BuyerContact(one.name, one.address, one.phone, one.email)
        yield Order(f"{at:06d}", traits, buyer, made_ms=1 + one.reserved_ms, paid_ms=1 + one.paid_ms)


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of people: the number of their orders, and how many of them the rules flagged."""

    kind: str
    ring: bool
    orders: int
    flagged: int

    @property
    def share(self) -> float:
        """Flagged orders of all orders, 0 to 1: the recall for a ring, the harm for a household."""
        return self.flagged / self.orders if self.orders else 0.0

    @property
    def held(self) -> bool | None:
        """Whether few enough orders of a household are flagged. None for rings: only all rings together have an aim."""
        return None if self.ring else self.share <= KIND_AIM


@dataclass(slots=True)
class JudgingResult:
    """The results of all seeds together."""

    orders: Counter[tuple[bool, str]] = field(default_factory=Counter)
    flagged: Counter[tuple[bool, str]] = field(default_factory=Counter)
    score_s: float = 0.0

    def add(self, made: Sequence[Purchase], rules: RuleSet) -> None:
        """Scores one more sale and adds its result."""
        self.orders.update((one.ring, one.kind) for one in made)
        scored = list(as_orders(made))
        began = time.perf_counter()
        found = suspicious(score_orders(scored, rules), rules)
        self.score_s += time.perf_counter() - began
        self.flagged.update((made[int(one.order_id)].ring, made[int(one.order_id)].kind) for one in found)

    @property
    def rows(self) -> list[Row]:
        """One row for each kind: rings first, then households."""
        kinds = sorted(self.orders, key=lambda key: (not key[0], key[1]))
        return [Row(kind, ring, self.orders[ring, kind], self.flagged[ring, kind]) for ring, kind in kinds]

    def total(self, *, ring: bool) -> Row:
        """The sum of all rings, or of all honest people."""
        rows = [row for row in self.rows if row.ring == ring]
        name = "all rings" if ring else "all honest people"
        return Row(name, ring, sum(row.orders for row in rows), sum(row.flagged for row in rows))

    @property
    def recall(self) -> float:
        """Flagged ring orders / all ring orders."""
        return self.total(ring=True).share

    @property
    def precision(self) -> float:
        """Flagged ring orders / all flagged orders; 1 if none is flagged."""
        found, wrong = self.total(ring=True).flagged, self.total(ring=False).flagged
        return found / (found + wrong) if found + wrong else 1.0

    def as_document(self) -> dict[str, Any]:
        """All results, for JSON."""
        return {
            "recall": self.recall,
            "precision": self.precision,
            "aims": {
                "recall": RECALL_AIM,
                "precision": PRECISION_AIM,
                "flagged of a kind of household, at most": KIND_AIM,
            },
            "kinds": [
                {"kind": row.kind, "ring": row.ring, "orders": row.orders, "flagged": row.flagged, "share": row.share}
                for row in self.rows
            ],
            "score_s": round(self.score_s, 2),
        }


def judge(*, seeds: Sequence[int], orders: int, rules: RuleSet) -> JudgingResult:
    """Simulates and scores one sale for each seed."""
    result = JudgingResult()
    for seed in seeds:
        result.add(purchases(seed=seed, orders=orders), rules)
    return result
