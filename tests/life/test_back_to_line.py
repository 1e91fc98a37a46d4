"""A buyer who cancels while the sale is running gives the units back to the line, and that counts as an unpaid hold."""

from typing import Any

import pytest
import redis

from flashsale.gate import bridge
from flashsale.life import cancel, crash_points, fairness_report, review, sale_control, tick
from flashsale.life.enter import digest_identity
from flashsale.life.refund import refund_due
from flashsale.life.reserve import Reserved, direct_place, reserve
from flashsale.models import Cancellation, Reservation, Sale, Unit, UnpaidHold
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import AllocationMode
from tests.factories import (
    PHONE,
    Shopper,
    card_of,
    channel_of,
    end_now,
    identity,
    lobby_sale,
    open_now,
    poco_campaign,
    refusal,
    roll_over_now,
    tend,
)
from tests.faults.steps import (
    broken,
    buy,
    called,
    dies_at,
    in_gate,
    lose_everything,
    money_astray,
    pay,
    the_payment,
)
from tests.life.tranches import line, offered, rolling_sale, sale_of
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
OWN_REASONS = ["buyer_request", "payment_failed"]


def end(order: Reservation, reason: str = "buyer_request") -> Reservation:
    return cancel.cancel(reservation=order.pk, channel=order.channel_id, code=reason)


def units(sale: Sale) -> dict[str, int]:
    """How many units of the sale are in each state, in PostgreSQL."""
    states = list(Unit.objects.filter(allocation__sale=sale).values_list("state", flat=True))
    return {state: states.count(state) for state in sorted(set(states))}


def unpaid(gate: redis.Redis, sale: Sale) -> list[int]:
    """How many unpaid holds Redis counts for each digest."""
    return sorted(int(count) for count in gate.hvals(f"fs:{{{sale.campaign_id}}}:unpaid"))


@pytest.mark.books
@pytest.mark.parametrize("reason", OWN_REASONS)
def test_in_an_open_sale_the_next_person_in_the_line_gets_the_unit(reason: str) -> None:
    sale, people = called("ani", "budi", stock=1)
    first, second = sorted(people, key=lambda person: person.number())
    order = buy(first)
    version = Unit.objects.get().version
    assert second.look().state == "waiting"
    assert end(order, reason).state == "cancelled"
    unit = Unit.objects.get()
    assert (unit.state, unit.version, unit.allocation) == ("free", version + 1, order.allocation)
    assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 0, "used": []}
    assert Cancellation.objects.get().back_to_line is True
    assert the_payment().payment_state == "refund_due"
    tend(sale)
    assert second.look().state == "called"
    assert buy(second).state == "confirmed"
    assert list(Unit.objects.values_list("state", flat=True)) == ["sold"]
    assert broken(sale) == []


def test_the_place_stays_spent_and_the_same_request_does_not_hold_again() -> None:
    sale, (ani, _) = called("ani", "budi")
    end(buy(ani))
    assert ani.look().state == "spent"
    assert refusal(ani.reserve) is Outcome.EXPIRED
    assert refusal(ani.reserve, key="another") is Outcome.PLACE_SPENT
    assert broken(sale) == []


@pytest.mark.parametrize("forgets", [False, True], ids=["while the gate lives", "after the gate lost everything"])
def test_two_orders_cancelled_in_running_sales_use_up_what_unpaid_holds_may(gate: redis.Redis, forgets: bool) -> None:
    campaign = poco_campaign()
    sales = [lobby_sale(campaign, max_entries=1000) for _ in range(4)]
    people = [Shopper(sale, "ani") for sale in sales[:3]]
    for person in people:
        person.enter()
    for sale, person in zip(sales[:2], people, strict=False):
        open_now(sale)
        tend(sale)
        end(buy(person))
    assert UnpaidHold.objects.count() == 4
    assert unpaid(gate, sales[0]) == [2, 2]
    if forgets:
        gate.flushall()
        bridge.run(tick.mend_all())
        assert unpaid(gate, sales[0]) == [2, 2]
    open_now(sales[2])
    tend(sales[2])
    people[2].look()
    before = in_gate(sales[2])
    assert refusal(people[2].reserve) is Outcome.UNPAID_TWICE
    assert refusal(Shopper(sales[3], "ani").enter) is Outcome.UNPAID_TWICE
    assert in_gate(sales[2]) == before
    assert [fault for sale in sales for fault in broken(sale)] == []


def test_a_cancellation_sent_six_times_at_once_and_again_counts_once(gate: redis.Redis) -> None:
    sale, (ani, _) = called("ani", "budi")
    order = buy(ani)
    at_once([lambda: end(order)] * 6)
    end(order)
    assert (UnpaidHold.objects.count(), unpaid(gate, sale)) == (2, [1, 1])
    assert Cancellation.objects.count() == 1
    assert units(sale) == {"free": 2}
    assert in_gate(sale) == {"offered": 2, "held": 0, "sold": 0, "used": []}
    assert broken(sale) == money_astray_but_due() == []


def money_astray_but_due() -> list[str]:
    """As `money_astray`, after the refunds that are due."""
    refund_due()
    return money_astray()


def test_stock_does_not_shrink_over_many_rounds_of_paying_and_cancelling() -> None:
    sale, people = called(*(f"person-{n}" for n in range(20)), stock=10)
    for person in sorted(people, key=lambda person: person.number())[:15]:
        tend(sale)
        order = buy(person)
        assert units(sale) == {"free": 9, "sold": 1}
        end(order)
        assert units(sale) == {"free": 10}
    assert in_gate(sale) == {"offered": 10, "held": 0, "sold": 0, "used": []}
    assert broken(sale) == []


def direct_order(sale: Sale, name: str, key: str) -> Reservation:
    """The partner reserves for its buyer without a line, and the buyer pays."""
    card = card_of(sale)
    where, channel = card.line("door"), channel_of(card, "lazada")
    assert where is not None
    person = direct_place(card=card, line=where, digests=digest_identity(card=card, values=identity(name)))
    fields: dict[str, Any] = {"items": [(PHONE, 1)], "key": key, "key_owner": f"channel:{channel.id}"}
    held: Reserved = bridge.run(reserve(card=card, line=where, channel=channel, place=person, **fields))
    return pay(Shopper(sale, name, line="door"), held.id)


def test_one_customer_of_a_direct_line_cancels_twice_and_takes_no_unit_out_of_it() -> None:
    sale = open_now(sale_of(line("door", 20, mode=AllocationMode.DIRECT)))
    for n in range(2):
        end(direct_order(sale, "ani", f"key-{n}"))
        assert (units(sale), offered(sale, "door")) == ({"free": 20}, 20)
    assert refusal(direct_order, sale, "ani", "key-2") is Outcome.UNPAID_TWICE
    assert direct_order(sale, "budi", "key-3").state == "confirmed"
    assert units(sale) == {"free": 19, "sold": 1}
    assert broken(sale) == []


def closed_early(sale: Sale) -> None:
    sale_control.close_early(sale=sale)


def called_off(sale: Sale) -> None:
    sale_control.call_off(sale=sale, message="no more")


@pytest.mark.parametrize("over", [end_now, closed_early, called_off])
@pytest.mark.parametrize("reason", OWN_REASONS)
def test_after_the_sale_the_unit_waits_in_the_return_pool_and_nothing_counts(
    gate: redis.Redis, over: Any, reason: str
) -> None:
    sale, (ani, _) = called("ani", "budi")
    order = buy(ani)
    over(sale)
    end(order, reason)
    assert units(sale) == {"free": 1, "returned": 1}
    assert Cancellation.objects.get().back_to_line is False
    assert (UnpaidHold.objects.count(), unpaid(gate, sale)) == (0, [])
    assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 0, "used": []}
    assert broken(sale) == []


def test_in_a_pause_the_unit_goes_back_to_the_line_and_is_sold_after_it() -> None:
    sale, people = called("ani", "budi", stock=1)
    first, second = sorted(people, key=lambda person: person.number())
    order = buy(first)
    sale_control.pause(sale=sale)
    end(order)
    assert units(sale) == {"free": 1}
    assert refusal(second.reserve) is Outcome.PAUSED
    sale_control.resume(sale=sale)
    tend(sale)
    assert buy(second).state == "confirmed"
    assert broken(sale) == []


def test_a_cancellation_by_review_in_an_open_sale_still_waits_in_the_pool(django_user_model: Any) -> None:
    sale, (ani, _) = called("ani", "budi")
    sari, tono = (django_user_model.objects.create_user(name) for name in ("sari", "tono"))
    case = review.open_case(reservation=buy(ani))
    review.propose(case=case, code="one_person_many_identities", by=sari)
    review.approve(case=case, by=tono)
    assert units(sale) == {"free": 1, "returned": 1}
    assert Cancellation.objects.get().back_to_line is False
    assert UnpaidHold.objects.count() == 0
    assert broken(sale) == []


@pytest.mark.parametrize("loses", [False, True], ids=["by a mending", "by a rebuild"])
def test_dying_before_the_gate_is_told_continues_with_the_same_counts(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch, loses: bool
) -> None:
    assert "cancel: ended" in {point.name for point in crash_points.CRASH_POINTS}
    sale, people = called("ani", "budi", stock=1)
    first, second = sorted(people, key=lambda person: person.number())
    order = buy(first)
    dies_at(monkeypatch, "cancel: ended", lambda: end(order))
    assert units(sale) == {"free": 1}
    if loses:
        lose_everything(gate, sale)
        second.look()
    else:
        for _again in range(2):
            bridge.run(tick.mend_all())
    end(order)
    assert unpaid(gate, sale) == [1, 1]
    assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 0, "used": []}
    tend(sale)
    assert buy(second).state == "confirmed"
    assert broken(sale) == []


def test_a_unit_of_a_line_that_has_rolled_over_goes_on_to_the_next_line() -> None:
    sale = rolling_sale(1)
    ani = Shopper(sale, "ani", line="first")
    ani.enter()
    open_now(sale)
    tend(sale)
    order = buy(ani)
    roll_over_now(sale)
    end(order)
    tend(sale)
    assert (offered(sale, "first"), offered(sale, "public")) == (0, 1)
    assert broken(sale) == []


def test_the_report_counts_units_that_went_back_to_the_line_apart_from_the_pool() -> None:
    sale, (ani, budi) = called("ani", "budi")
    early, late = buy(ani), buy(budi)
    end(early)
    end_now(sale)
    end(late)
    told = fairness_report.report(sale=sale)
    assert told["returned"] == {
        "to_line": 1, "units": 1, "restored": 0, "resting": 1, "moved": [], "came_in": 0,
    }  # fmt: skip
    assert told["cancellations"]["total"] == 2
