"""The second crowd: a seed gives the same sale at all times, the limit and the line hold, and rings stay in bounds."""

from collections import Counter, defaultdict
from hashlib import sha256
from itertools import pairwise

import pytest

from flashsale.rules.identity import Axis, canonical_value
from flashsale.rules.review.fact_rules import DEFAULT_FACT_RULES
from simulation import review_judging
from simulation.review_crowd import SimulatedSale
from simulation.second_crowd import DEVELOPMENT_SEEDS, simulate_sale
from simulation.second_crowd.honest import GROUPS
from simulation.second_crowd.ring_kinds import KINDS, SHARES

ORDERS = 2000
SINGLES = {"single", "single_mobile"}
BYSTANDERS = {"bystander_kost", "bystander_office", "bystander_pickup", "bystander_neighbour"}


@pytest.fixture(scope="module")
def sales() -> list[SimulatedSale]:
    return [simulate_sale(seed, orders=ORDERS) for seed in DEVELOPMENT_SEEDS[:6]]


def test_the_same_seed_gives_the_same_sale_and_another_seed_another_one() -> None:
    first = simulate_sale(7, orders=600)
    assert first == simulate_sale(7, orders=600)
    other = simulate_sale(8, orders=600)
    assert {one.phone for one in first.orders}.isdisjoint(one.phone for one in other.orders)
    for wrong in (199, 100_001):
        with pytest.raises(ValueError, match=f"200 to 100,000 orders, not {wrong}"):
            simulate_sale(7, orders=wrong)


def test_a_seed_gives_the_sale_that_was_judged() -> None:
    """The figures in documents hold as long as a seed gives the same people. One more draw changes all of them."""
    people = "\n".join(sorted(f"{one.phone} {one.email} {one.address}" for one in simulate_sale(1, orders=600).orders))
    assert sha256(people.encode()).hexdigest()[:16] == "d66aae897508d5e2"


def test_phones_mailboxes_places_and_numbers_are_unique_and_the_limit_holds(sales: list[SimulatedSale]) -> None:
    for sale in sales:
        assert [one.id for one in sale.orders] == list(sale.truth)
        for axis, values in (
            (Axis.PHONE, [one.phone for one in sale.orders]),
            (Axis.EMAIL, [one.email for one in sale.orders]),
        ):
            assert len({canonical_value(axis, value) for value in values}) == ORDERS
        assert len({one.number for one in sale.orders}) == ORDERS
        by_index = sorted(sale.orders, key=lambda one: one.index)
        assert all(a.index < b.index and a.entered_ms <= b.entered_ms for a, b in pairwise(by_index))
        for one in sale.orders:
            assert 1 <= one.quantity <= sale.limit <= 3
            assert 0 < one.entered_ms < one.called_ms < one.reserved_ms < one.paid_ms


def test_the_product_accepts_what_people_type_and_what_channels_send(sales: list[SimulatedSale]) -> None:
    for sale in sales:
        sends = defaultdict(set)
        for one in sale.orders:
            sends[one.channel].add(one.network is not None)
            assert canonical_value(Axis.ADDRESS, one.address)
            if one.network is not None:
                assert canonical_value(Axis.NETWORK, one.network)
        assert all(len(whether) == 1 for whether in sends.values()), "a channel sends networks or sends none"


def test_every_kind_of_people_is_there_and_rings_have_a_tenth_to_a_quarter(sales: list[SimulatedSale]) -> None:
    honest, rings = set(), set()
    for sale in sales:
        truths = sale.truth.values()
        assert all(bool(truth.ring) != bool(truth.household) for truth in truths)
        honest |= {truth.kind for truth in truths if truth.household}
        rings |= {truth.kind for truth in truths if truth.ring}
        sizes = Counter(truth.ring for truth in truths if truth.ring)
        assert 0.10 <= sizes.total() / ORDERS <= 0.25
        assert min(sizes.values()) >= 3
    assert honest == SINGLES | BYSTANDERS | {make.__name__ for make, _ in GROUPS}
    assert rings == set(KINDS) == set(SHARES)


def test_the_rules_find_rings_of_a_crowd_that_they_were_not_made_for() -> None:
    judged = review_judging.judge(
        seeds=[1], orders=ORDERS, rules=DEFAULT_FACT_RULES, crowd=review_judging.SECOND
    ).judgement
    assert list(judged.by_sale) == [1]
    assert judged.recall >= 0.5
    assert judged.precision >= 0.8
    assert judged.all_honest.share <= 0.02
