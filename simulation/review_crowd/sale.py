"""Puts a sale together: people, rings, the limit, the draw of the line, and the times of calling and paying."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from flashsale.rules.identity import Axis, canonical_value
from simulation.review_crowd import honest_homes, honest_places
from simulation.review_crowd.orders import Draft, SimulatedOrder, SimulatedSale, Terms, Truth, check_size
from simulation.review_crowd.ring_kinds import rings
from simulation.review_crowd.terms import terms_of
from simulation.review_crowd.town import Town

Honest = Callable[[Town], Iterator[Draft]]
# Who buys, share of the honest orders, mean number of orders of a group.
HONEST: tuple[tuple[Honest, float, float], ...] = (
    (honest_homes.single, 0.31, 1.0), (honest_homes.mobile, 0.10, 1.0), (honest_homes.household, 0.13, 2.6),
    (honest_homes.fast, 0.04, 1.0), (honest_homes.collector, 0.03, 1.0), (honest_homes.odd_spelling, 0.05, 1.0),
    (honest_homes.village, 0.03, 2.6), (honest_homes.migrant, 0.025, 1.5), (honest_homes.neighbours, 0.02, 5.5),
    (honest_homes.large_family, 0.006, 6.5), (honest_homes.helper, 0.012, 2.8),
    (honest_homes.friends, 0.02, 3.5), (honest_places.kost, 0.045, 6.0), (honest_places.bare_kost, 0.02, 5.3),
    (honest_places.pickup, 0.045, 14.0), (honest_places.bare_pickup, 0.015, 5.5), (honest_places.tower, 0.025, 9.5),
    (honest_places.office, 0.035, 8.0), (honest_places.bare_office, 0.015, 8.0), (honest_places.campus, 0.025, 14.0),
)  # fmt: skip


def simulate_sale(seed: int, *, orders: int = 10_000) -> SimulatedSale:
    """One sale with exactly `orders` paid orders. The same seed and number give the same sale; the terms follow from
    the seed alone. Raises ValueError for a number out of bounds.
    """
    check_size(orders)
    rng = random.Random(f"review crowd {seed} {orders}")
    town = Town(rng, terms_of(seed, orders=orders))
    drafts = _within_limit(rings(town, orders=round(orders * town.terms.ring_share)), set())
    taken = {value for draft in drafts for value in _limited(draft)}
    weights = [share / size * rng.uniform(0.6, 1.5) for _, share, size in HONEST]
    while len(drafts) < orders:
        maker = rng.choices([maker for maker, _, _ in HONEST], weights)[0]
        drafts += _within_limit(maker(town), taken)
    del drafts[orders:]
    return _in_line(town, drafts, seed)


def _limited(draft: Draft) -> tuple[str, str]:
    """The values on which the limit is enforced: phone and mailbox, in the one spelling of each."""
    return canonical_value(Axis.PHONE, draft.phone), canonical_value(Axis.EMAIL, draft.email)


def _within_limit(drafts: Iterator[Draft], taken: set[str]) -> list[Draft]:
    """Orders without those whose phone or mailbox has bought before: the limit refuses them."""
    kept = []
    for draft in drafts:
        values = _limited(draft)
        if taken.isdisjoint(values):
            taken.update(values)
            kept.append(draft)
    return kept


def _in_line(town: Town, drafts: list[Draft], seed: int) -> SimulatedSale:
    """Gives the orders their places in the line and their times, and hides what a channel does not send."""
    rng, terms = town.rng, town.terms
    drafts.sort(key=lambda draft: (draft.entered_ms, draft.phone))
    indexes = _indexes(town, drafts)
    early = sum(draft.entered_ms < 0 for draft in drafts)
    # In a hot sale the units end within the cohort: a quarter of those who are called do not buy. In a slow sale the
    # whole cohort is called, and who comes later has its index as number.
    cohort = indexes[early - 1] if early else 0
    called = min(cohort, math.ceil(early * 1.35)) if terms.latecomers == 0 else cohort
    numbers = rng.sample(range(1, called + 1), early) + indexes[early:]
    # The line passes its numbers evenly until the last unit is promised.
    pace = max(numbers) / terms.sold_in_ms
    orders, truths = [], []
    for draft, index, number in zip(drafts, indexes, numbers, strict=True):
        waves = -(-int(number / pace) // 1000) * 1000
        call = terms.opened_ms + max(waves, draft.entered_ms + 1000)
        orders.append(_order(draft, terms, index=index, number=number, called_ms=call))
        truths.append(draft.truth)
    ids = rng.sample(range(10**8, 10**9), len(orders))
    by_time = sorted(range(len(orders)), key=lambda at: (orders[at].paid_ms, ids[at]))
    truth: dict[str, Truth] = {f"{ids[at]}": truths[at] for at in by_time}
    return SimulatedSale(seed, terms.limit, [_named(orders[at], f"{ids[at]}") for at in by_time], truth)


def _indexes(town: Town, drafts: list[Draft]) -> list[int]:
    """The count of entries at each order's entering. People who got no unit stand between those who did."""
    rng, others = town.rng, (town.terms.demand - 1) * len(drafts)
    index, before, found = 0, 0.0, []
    for draft in drafts:
        share = town.arrivals.share_before(draft.entered_ms)
        # Nine of ten people without a unit come as honest people do; the rest come with the buyers, as rings do.
        between = others * (0.9 * max(0.0, share - before) + 0.1 / len(drafts))
        before = max(before, share)
        index += 1 + _poisson(rng, between)
        found.append(index)
    return found


def _poisson(rng: random.Random, mean: float) -> int:
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    left, count = rng.random(), 0
    floor = math.exp(-mean)
    while left > floor:
        left *= rng.random()
        count += 1
    return count


def _order(draft: Draft, terms: Terms, *, index: int, number: int, called_ms: int) -> SimulatedOrder:
    blind = draft.channel == terms.blind_channel
    reserved = called_ms + draft.reaction_ms
    return SimulatedOrder(
        id="",
        index=index,
        number=number,
        channel=draft.channel,
        sku=draft.sku,
        quantity=draft.quantity,
        name=draft.name,
        address=draft.address,
        phone=draft.phone,
        email=draft.email,
        device=None if blind else draft.device,
        payment=draft.payment,
        network=None if blind else draft.network,
        entered_ms=terms.opened_ms + draft.entered_ms,
        called_ms=called_ms,
        reserved_ms=reserved,
        paid_ms=reserved + draft.paying_ms,
    )


def _named(order: SimulatedOrder, order_id: str) -> SimulatedOrder:
    return replace(order, id=order_id)
