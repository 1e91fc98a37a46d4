"""Holds that expire unpaid: each spends its place, and after two of them a person gets no third in the campaign."""

import pytest
import redis

from flashsale.gate import bridge
from flashsale.life import tick
from flashsale.models import Reservation, Sale, UnpaidHold
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, lobby_sale, open_now, poco_campaign, refusal, tend
from tests.faults.steps import broken, buy, come_due, in_gate, reap

pytestmark = [pytest.mark.django_db(transaction=True)]


def let_expire(sale: Sale, name: str = "ani") -> Shopper:
    """The person holds a unit of the sale and does not pay."""
    person = Shopper(sale, name)
    person.enter()
    open_now(sale)
    tend(sale)
    person.reserve()
    come_due(sale)
    assert reap(sale) == 1
    return person


def test_an_expired_hold_spends_the_place(gate: redis.Redis) -> None:
    ani = let_expire(lobby_sale())
    assert refusal(ani.reserve) is Outcome.EXPIRED
    assert refusal(ani.reserve, key="another") is Outcome.PLACE_SPENT
    assert Reservation.objects.count() == 1


@pytest.mark.parametrize("forgets", [False, True], ids=["while the gate lives", "after the gate lost everything"])
def test_after_two_expired_holds_there_is_no_third_in_the_campaign(gate: redis.Redis, forgets: bool) -> None:
    campaign = poco_campaign()
    first, second, third, fourth = (lobby_sale(campaign, max_entries=1000) for _ in range(4))
    early = Shopper(third, "ani")
    early.enter()
    let_expire(first)
    let_expire(second)
    assert UnpaidHold.objects.count() == 4
    if forgets:
        gate.flushall()
        bridge.run(tick.mend_all())
    open_now(third)
    tend(third)
    early.look()
    before = in_gate(third)
    assert refusal(early.reserve) is Outcome.UNPAID_TWICE
    assert Shopper(third, "ani").enter().index == early.entry.index
    assert refusal(Shopper(fourth, "ani").enter) is Outcome.UNPAID_TWICE
    assert in_gate(third) == before
    assert Reservation.objects.filter(sale=third).count() == 0
    assert [line for sale in (first, second, third) for line in broken(sale)] == []


def test_one_expired_hold_does_not_prevent_a_later_order(gate: redis.Redis) -> None:
    campaign = poco_campaign()
    let_expire(lobby_sale(campaign, max_entries=1000))
    later = lobby_sale(campaign, max_entries=1000)
    ani = Shopper(later, "ani")
    ani.enter()
    open_now(later)
    tend(later)
    assert buy(ani).state == "confirmed"
    assert UnpaidHold.objects.count() == 2
