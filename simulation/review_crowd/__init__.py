"""Simulated sales on which the review is judged: honest people of many kinds, and rings of resellers, by seed.

The crowd knows nothing of the review's rules. It needs no Django and no server. docs/review-crowd.md says what it
assumes about people, with numbers and reasons.

Seeds 1 to 59 are for development: rules may be made and tried on them. So are seeds 1000 to 1011, which have judged
earlier rules. Seeds 2000 to 2011 are for judging only. Seeds 4000 to 4019 have judged small sales.
"""

from simulation.review_crowd.orders import Model, SimulatedOrder, SimulatedSale, Terms, Truth
from simulation.review_crowd.sale import ORDERS_MAX, ORDERS_MIN, simulate_sale

DEVELOPMENT_SEEDS = range(1, 60)
JUDGING_SEEDS = range(2000, 2012)

__all__ = [
    "DEVELOPMENT_SEEDS", "JUDGING_SEEDS", "ORDERS_MAX", "ORDERS_MIN", "Model", "SimulatedOrder", "SimulatedSale",
    "Terms", "Truth", "simulate_sale",
]  # fmt: skip
