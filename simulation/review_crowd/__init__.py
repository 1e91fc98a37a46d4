"""Simulated sales on which the review is judged: honest people of many kinds, and rings of resellers, by seed.

The crowd knows nothing of the review's rules. It needs no Django and no server. docs/review-crowd.md says what it
assumes about people, with numbers and reasons.

Seeds 1 to 59 are for development: rules may be made and tried on them. So are seeds 1000 to 1011, 2000 to 2011 and
4000 to 4019, which have judged earlier rules. Seeds 6000 to 6011 are for judging only, and so are seeds 6000 to 6019
for small sales.
"""

from simulation.review_crowd.orders import ORDERS_MAX, ORDERS_MIN, SimulatedOrder, SimulatedSale, Truth
from simulation.review_crowd.sale import simulate_sale

DEVELOPMENT_SEEDS = range(1, 60)
JUDGING_SEEDS = range(6000, 6012)

__all__ = [
    "DEVELOPMENT_SEEDS", "JUDGING_SEEDS", "ORDERS_MAX", "ORDERS_MIN", "SimulatedOrder", "SimulatedSale", "Truth",
    "simulate_sale",
]  # fmt: skip
