"""Runs the review's rules on simulated sales whose truth is known, and judges what they flag."""

import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from flashsale.rules.identity import Axis, canonical_value
from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.fact_rules import AnyRuleSet
from flashsale.rules.review.suspicion import Order, rules_for, score_orders, suspicious
from simulation import review_crowd, second_crowd
from simulation.review_crowd import SimulatedOrder, SimulatedSale
from simulation.review_crowd.judging import Judgement


class SimulateSale(Protocol):
    """Makes the sale of a seed."""

    def __call__(self, seed: int, *, orders: int) -> SimulatedSale:
        """One sale with this number of orders."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """A crowd that was imagined independently of the others, and its seeds for making rules and for judging them."""

    name: str
    simulate_sale: SimulateSale
    development_seeds: range
    judging_seeds: range


FIRST = Crowd("first", review_crowd.simulate_sale, review_crowd.DEVELOPMENT_SEEDS, review_crowd.JUDGING_SEEDS)
SECOND = Crowd("second", second_crowd.simulate_sale, second_crowd.DEVELOPMENT_SEEDS, second_crowd.JUDGING_SEEDS)
CROWDS: Mapping[str, Crowd] = {crowd.name: crowd for crowd in (FIRST, SECOND)}


def as_orders(made: Sequence[SimulatedOrder]) -> Iterator[Order]:
    """The simulated orders in the form that the review reads."""
    for one in made:
        values = {
            Axis.PHONE: one.phone,
            Axis.EMAIL: one.email,
            Axis.DEVICE: one.device,
            Axis.PAYMENT: one.payment,
            Axis.ADDRESS: one.address,
            Axis.NETWORK: one.network,
        }
        traits = {
            axis: sha256(canonical_value(axis, value).encode()).digest()[:16] for axis, value in values.items() if value
        }
        buyer = BuyerContact(one.name, one.address, one.phone, one.email)
        yield Order(
            one.id,
            traits,
            buyer,
            made_ms=one.reserved_ms,
            paid_ms=one.paid_ms,
            quantity=one.quantity,
            sku=one.sku,
            channel=one.channel,
            line="line",
            index=one.index,
            number=one.number,
        )


@dataclass(slots=True)
class JudgingResult:
    """The judgement, and what the rules cost: seconds of one core for all sales and for the largest one, and the most
    memory that the process had, with the simulation.
    """

    judgement: Judgement = field(default_factory=Judgement)
    score_s: float = 0.0
    slowest_s: float = 0.0
    peak_mib: int = 0


def judge(*, seeds: Sequence[int], orders: int, rules: AnyRuleSet, crowd: Crowd = FIRST) -> JudgingResult:
    """Simulates and scores one sale of a crowd for each seed."""
    result = JudgingResult()
    for seed in seeds:
        sale = crowd.simulate_sale(seed, orders=orders)
        scored = list(as_orders(sale.orders))
        began = time.process_time()
        found = suspicious(score_orders(scored, rules, limit=sale.limit), rules_for(rules, len(scored)))
        took = time.process_time() - began
        result.score_s += took
        result.slowest_s = max(result.slowest_s, took)
        result.judgement.add(sale, {one.order_id for one in found})
    result.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result
