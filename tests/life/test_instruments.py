"""The card or wallet that bought an order is known by the provider's word, and the review links orders by it."""

from decimal import Decimal
from typing import Any

import pytest

from flashsale.gate import bridge
from flashsale.life import score
from flashsale.life.settle import settle
from flashsale.models import LimitSlot, Reservation, Sale, Trait
from flashsale.providers import payments
from flashsale.providers.payments.checked import checked_standing
from flashsale.rules.identity import Axis
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, Kind
from flashsale.rules.states import StandingState
from tests.factories import PHONE, Shopper, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import broken, end, pay, the_payment
from tests.life.buyers import PRICE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
OWN_PAGE, PARTNER = "mi.com", "lazada"


def waiting(channel: str, *names: str, axes: dict[Axis, str] | None = None) -> tuple[Sale, list[Reservation]]:
    """People who pay elsewhere. Each of them names another card."""
    campaign = poco_campaign(axes=axes) if axes else poco_campaign()
    sale = lobby_sale(campaign, stock={PHONE: len(names)}, channels=(channel,))
    people = [Shopper(sale, name, channel=channel) for name in names]
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    later = payments.DEMO_LATER
    return sale, [pay(one, one.reserve().id, instrument=later, payment=f"card of {one.name}") for one in people]


def paid(row: Reservation, fingerprint: str) -> None:
    said = payments.Standing(StandingState.PAID, "", Decimal(PRICE), "IDR", fingerprint=fingerprint)
    standing = checked_standing(said)
    assert bridge.run(settle(reference=the_payment(row.pk).reference, standing=standing)).row.state == "confirmed"


def card_of_order(row: Reservation) -> list[str]:
    return list(Trait.objects.filter(reservation=row, axis="payment").values_list("digest", flat=True))


def linked_by_payment(sale: Sale) -> set[str]:
    def ignore(*_: Any) -> None:
        return None

    found = score.findings(sale=sale, rules=DEFAULT_RULE_SET, on_progress=ignore)
    return {finding.order_id for finding in found if any(one.kind is Kind.PAYMENT for one in finding.shared)}


@pytest.mark.parametrize("channel", [OWN_PAGE, PARTNER])
def test_orders_that_one_card_paid_are_linked_whatever_their_buyers_said(channel: str) -> None:
    sale, rows = waiting(channel, "ani", "budi", "citra")
    said = [card_of_order(row) for row in rows]
    assert len({digest for (digest,) in said}) == 3
    for row, fingerprint in zip(rows, ("bank:1", "bank:1", "bank:2"), strict=True):
        for _again in range(2):
            paid(row, fingerprint)
    now = [card_of_order(row) for row in rows]
    assert (now[0], now[0] == now[2], len(now[0])) == (now[1], False, 1)
    assert {digest for (digest,) in now}.isdisjoint(digest for (digest,) in said)
    assert linked_by_payment(sale) == {str(row.pk) for row in rows[:2]}
    assert broken(sale) == []


@pytest.mark.parametrize("fingerprint", ["", "bank\u0007", "x" * 121])
@pytest.mark.parametrize(("channel", "count"), [(OWN_PAGE, 0), (PARTNER, 1)])
def test_without_a_word_of_the_provider_only_a_partners_word_stays(channel: str, count: int, fingerprint: str) -> None:
    _, (row,) = waiting(channel, "ani")
    said = card_of_order(row)
    paid(row, fingerprint)
    assert card_of_order(row) == said[:count]


def test_an_instrument_that_counts_against_the_limit_keeps_its_slot() -> None:
    axes = {Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter", Axis.PAYMENT: "hard confirm"}
    _, (row,) = waiting(OWN_PAGE, "ani", axes=axes)
    (slot,) = LimitSlot.objects.filter(axis="payment").values_list("digest", flat=True)
    assert card_of_order(row) == [slot]
    paid(row, "bank:1")
    assert list(LimitSlot.objects.filter(axis="payment").values_list("digest", flat=True)) == [slot]
    assert card_of_order(row) not in ([], [slot])


def test_a_campaign_that_does_not_know_people_by_their_payment_stores_nothing() -> None:
    _, (row,) = waiting(OWN_PAGE, "ani", axes={Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter"})
    paid(row, "bank:1")
    assert card_of_order(row) == []


def test_late_money_that_buys_brings_its_card() -> None:
    sale, (row,) = waiting(OWN_PAGE, "ani")
    end(sale)
    paid(row, "bank:1")
    assert len(card_of_order(row)) == 1
