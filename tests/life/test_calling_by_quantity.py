"""Where one person may buy several units, no unit waits while people wait, and each called person can get one."""

from collections.abc import Sequence
from typing import Any

import pytest

from flashsale.gate import bridge, scripts
from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome
from tests.factories import PHONE, Shopper, card_of, lobby_sale, open_now, poco_campaign, refusal, tend
from tests.life.tranches import held_promises

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def opened(people: int, *, stock: int, limit: int = 3, **fields: Any) -> tuple[Sale, list[Shopper]]:
    """An open sale, and its people in the order of their numbers."""
    values = {"max_entries": 20_000, "rate_per_s": 100_000} | fields
    sale = lobby_sale(poco_campaign(limit=limit), stock={PHONE: stock}, **values)
    shoppers = [Shopper(sale, f"person-{n}") for n in range(people)]
    for shopper in shoppers:
        shopper.enter()
        tend(sale)
    for _drawn_then_called in range(2):
        open_now(sale)
    tend(sale)
    return sale, sorted(shoppers, key=lambda one: one.number())


def called(sale: Sale) -> int:
    card = card_of(sale)
    figures: Any = bridge.run(scripts.survey(card, card.lines[0]))
    return int(figures.called)


def buy(shoppers: Sequence[Shopper], quantity: int) -> list[str]:
    return [str(one.reserve((PHONE, quantity)).id) for one in shoppers]


def test_all_are_called_where_there_is_a_unit_for_each_whatever_the_limit() -> None:
    sale, people = opened(21, stock=24)
    assert called(sale) == 21
    # The first may take three, because one unit is left for each of the other twenty.
    buy(people[:1], 3)
    assert refusal(people[1].reserve, (PHONE, 3)) is Outcome.OFFER_GONE
    buy(people[1:2], 2)
    assert refusal(people[2].reserve, (PHONE, 2)) is Outcome.OFFER_GONE
    buy(people[2:], 1)
    held_promises()


def test_a_crowd_is_called_as_if_each_took_the_most_and_then_as_people_buy() -> None:
    sale, people = opened(60, stock=24)
    assert called(sale) == 8
    buy(people[:1], 1)
    tend(sale)
    # One has taken 1 of 3, so 2 are expected: 12 claims for 23 units.
    assert called(sale) == 1 + 12
    buy(people[1:8], 1)
    tend(sale)
    # Eight have taken one each, so 11 / 9 are expected: 14 claims for 16 units.
    assert called(sale) == 8 + 14
    buy(people[8:22], 1)
    tend(sale)
    assert called(sale) == 22 + 2
    buy(people[22:24], 1)
    assert refusal(people[24].reserve) is Outcome.NOT_CALLED
    held_promises()


def test_people_who_come_in_pairs_buy_two_each() -> None:
    sale, people = opened(60, stock=24, limit=2)
    at = 0
    while called(sale) > at:
        buy(people[at : called(sale)], 2)
        at = called(sale)
        tend(sale)
    assert at == 12
    held_promises()


def test_each_person_who_is_called_gets_a_unit_whatever_those_before_them_take() -> None:
    sale, people = opened(40, stock=24)
    at, greedy = 0, 0
    while called(sale) > at:
        for one in people[at : called(sale)]:
            # The first buy one, so that many are called; all others want as many as they may have.
            wanted = [1] if at < 8 else [3, 2, 1]
            got = next(quantity for quantity in wanted if quantity == 1 or _gets(one, quantity))
            if got == 1:
                one.reserve((PHONE, 1))
            greedy += got > 1
        at = called(sale)
        tend(sale)
    assert greedy > 0
    held_promises()


def _gets(one: Shopper, quantity: int) -> bool:
    try:
        one.reserve((PHONE, quantity), key=f"for {quantity}")
    except Exception:  # noqa: BLE001 - refused, as the next try shows
        return False
    return True
