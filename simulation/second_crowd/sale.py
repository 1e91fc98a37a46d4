"""Puts a sale of the second crowd together: rings, honest people, the one line, and the times of calling and paying."""

from simulation.review_crowd.orders import SimulatedOrder, SimulatedSale, Truth, check_size
from simulation.second_crowd.honest import place_honest_orders
from simulation.second_crowd.rings import place_ring_orders
from simulation.second_crowd.town import Draft, Town

# The claim window of three minutes, less five seconds.
_CLAIM_MS = 175_000
_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def simulate_sale(seed: int, *, orders: int = 10_000) -> SimulatedSale:
    """One sale with exactly `orders` paid orders. The same seed and number give the same sale.

    Raises ValueError for a number out of bounds.
    """
    check_size(orders)
    town = Town(seed=seed, orders=orders)
    place_ring_orders(town, orders=round(orders * town.terms.ring_share))
    place_honest_orders(town, orders=orders)
    line = _line(town)
    _call(town, line)
    _serve_crews(town.drafts)
    made: dict[str, tuple[SimulatedOrder, Truth]] = {}
    for draft in town.drafts:
        order_id = _new_id(town, made)
        made[order_id] = _order(draft, order_id), draft.truth
    by_time = sorted(made.values(), key=lambda one: (one[0].paid_ms, one[0].id))
    truth = {order.id: truth for order, truth in by_time}
    return SimulatedSale(seed, town.terms.limit, [order for order, _ in by_time], truth)


def _line(town: Town) -> list[float]:
    """Everybody who enters, buyers or not, in the order of entering. Each draft gets its index."""
    drafts, terms, moments, opened = town.drafts, town.terms, town.moments, town.terms.opened_ms
    late_buyers = sum(draft.entered_ms >= opened for draft in drafts)
    late = late_buyers + sum(time >= opened for time in moments.losers)
    early = len(drafts) + len(moments.losers) - late
    cohort = max(int((len(drafts) - late_buyers) / (terms.called * (terms.done + 0.1))), early)
    late_people = max(int(late_buyers / (terms.done + 0.1)), late)
    line: list[tuple[float, int]] = [(max(1, draft.entered_ms), at) for at, draft in enumerate(drafts)]
    line += [(max(1, time), -1) for time in moments.losers]
    line += [(moments.arrival(0), -1) for _ in range(cohort - early)]
    line += [(moments.arrival(1), -1) for _ in range(late_people - late)]
    line.sort()
    for index, (time, at) in enumerate(line, start=1):
        if at >= 0:
            drafts[at].index, drafts[at].entered_ms = index, time
    return [time for time, _ in line]


def _call(town: Town, line: list[float]) -> None:
    """Draws the numbers of the cohort and calls the line in waves. A late person's number is the index."""
    rng, terms = town.rng, town.terms
    opened = terms.opened_ms
    cohort = sum(time < opened for time in line)
    buyers = sorted((draft for draft in town.drafts if draft.entered_ms < opened), key=lambda draft: draft.index)
    called = max(len(buyers), int(cohort * terms.called))
    for draft, number in zip(buyers, rng.sample(range(1, called + 1), len(buyers)), strict=True):
        draft.number = number
    served = called + len(line) - cohort
    wave = max(20, served // rng.randint(25, 140))
    gap = terms.sold_in_ms / (served / wave)
    for draft in town.drafts:
        draft.number = draft.number or draft.index
        place = draft.number if draft.number <= called else draft.number - cohort + called
        entered = int(draft.entered_ms)
        draft.called_ms = opened + 1500 + place // wave * gap
        if draft.called_ms < entered + 300:
            draft.called_ms = entered + 300 + (gap - (entered - opened) % gap) % min(gap, 4000)
        draft.reserved_ms = draft.called_ms + draft.reaction_ms


def _serve_crews(drafts: list[Draft]) -> None:
    """Few hands serve many phones, one after another."""
    crews: dict[str, list[Draft]] = {}
    hands: dict[str, int] = {}
    for draft in drafts:
        if draft.crew:
            crews.setdefault(draft.crew[0], []).append(draft)
            hands.setdefault(*draft.crew)
    for crew, members in crews.items():
        free = [0.0] * hands[crew]
        for draft in sorted(members, key=lambda draft: (draft.called_ms, draft.number)):
            hand = free.index(min(free))
            # A hand puts another phone aside if its claim window would end otherwise.
            start = min(max(draft.called_ms, free[hand]), draft.called_ms + _CLAIM_MS - draft.reaction_ms)
            draft.reserved_ms = start + draft.reaction_ms
            free[hand] = draft.reserved_ms + draft.paying_ms * 0.6


def _new_id(town: Town, taken: dict[str, tuple[SimulatedOrder, Truth]]) -> str:
    """A random id that no order has yet."""
    while (order_id := "".join(town.rng.choices(_SIGNS, k=9))) in taken:
        continue
    return order_id


def _order(draft: Draft, order_id: str) -> SimulatedOrder:
    called, reserved = int(draft.called_ms), int(draft.reserved_ms)
    return SimulatedOrder(
        id=order_id,
        index=draft.index,
        number=draft.number,
        channel=draft.channel,
        sku=draft.sku,
        quantity=draft.quantity,
        name=draft.name,
        address=draft.address,
        phone=draft.phone,
        email=draft.email,
        device=draft.device,
        payment=draft.payment,
        network=draft.network,
        entered_ms=int(draft.entered_ms),
        called_ms=called,
        reserved_ms=max(reserved, called + 90),
        paid_ms=max(int(draft.reserved_ms + draft.paying_ms), reserved + 150),
    )
