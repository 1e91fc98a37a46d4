"""A second crowd of simulated sales: other people and other rings than in simulation/review_crowd.

It was written from facts about people and resellers, without knowledge of the rules or of the first crowd. So it shows
whether a rule fits people, or only the first crowd. docs/review-crowd.md says what it assumes.

Seeds 1 to 12 are for development. Seeds 5000 to 5011 are for judging only.
"""

from simulation.second_crowd.sale import simulate_sale

DEVELOPMENT_SEEDS = range(1, 13)
JUDGING_SEEDS = range(5000, 5012)

__all__ = ["DEVELOPMENT_SEEDS", "JUDGING_SEEDS", "simulate_sale"]
