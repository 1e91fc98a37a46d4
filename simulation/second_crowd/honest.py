"""Which honest people the second crowd has, and how many of each kind."""

from collections.abc import Callable

from simulation.second_crowd import honest_homes, honest_places
from simulation.second_crowd.town import Town

Maker = Callable[[Town], None]
_SINGLE, _MOBILE = 0.285, 0.235
# The function that makes the orders of a group, and their share of all honest orders. Shares vary by sale.
GROUPS: tuple[tuple[Maker, float], ...] = (
    (honest_homes.random_mailbox, 0.028), (honest_homes.odd_speller, 0.028), (honest_homes.collector, 0.010),
    (honest_homes.couple, 0.065), (honest_homes.family, 0.058), (honest_homes.large_family, 0.014),
    (honest_homes.neighbours, 0.045), (honest_places.kost_labelled, 0.032), (honest_places.kost_plain, 0.026),
    (honest_places.office_labelled, 0.028), (honest_places.office_plain, 0.016), (honest_places.campus, 0.028),
    (honest_places.pickup_labelled, 0.028), (honest_places.pickup_plain, 0.016), (honest_homes.apartment, 0.042),
    (honest_homes.village, 0.030), (honest_homes.friends, 0.028), (honest_homes.migrant, 0.018),
    (honest_homes.helper, 0.014), (honest_homes.phone_counter, 0.008),
)  # fmt: skip


def place_honest_orders(town: Town, *, orders: int) -> None:
    """Fills the sale up to this number of orders: groups first, then singles."""
    drafts, start = town.drafts, len(town.drafts)
    wanted = [(make, town.dice.around(share, 0.3) * (orders - start)) for make, share in GROUPS]
    for make, share in wanted:
        quota, first = max(0, min(round(share), orders - len(drafts) - 1)), len(drafts)
        while len(drafts) - first < quota:
            before = len(drafts)
            make(town)
            over, group = len(drafts) - first - quota, len(drafts) - before
            # The last group may go beyond the quota by half of its orders.
            if over > 0 and (over > group / 2 or len(drafts) > orders):
                del drafts[first + quota :]
    singles = _SINGLE / (_SINGLE + _MOBILE) + town.rng.gauss(0, 0.06)
    while len(drafts) < orders:
        (honest_homes.single if town.dice.chance(singles) else honest_homes.single_mobile)(town)
