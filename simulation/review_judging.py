"""Runs the review's rules on simulated sales whose truth is known, and judges what they flag."""

import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from flashsale.rules.identity import Axis, canonical_value
from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.fact_rules import AnyRuleSet
from flashsale.rules.review.suspicion import Order, rules_for, score_orders, suspicious
from simulation.review_crowd import SimulatedOrder, simulate_sale
from simulation.review_crowd.judging import Judgement


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


def judge(*, seeds: Sequence[int], orders: int, rules: AnyRuleSet) -> JudgingResult:
    """Simulates and scores one sale for each seed."""
    result = JudgingResult()
    for seed in seeds:
        sale = simulate_sale(seed, orders=orders)
        scored = list(as_orders(sale.orders))
        began = time.process_time()
        found = suspicious(score_orders(scored, rules, limit=sale.terms.limit), rules_for(rules, len(scored)))
        took = time.process_time() - began
        result.score_s += took
        result.slowest_s = max(result.slowest_s, took)
        result.judgement.add(sale, {one.order_id for one in found})
    result.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result
