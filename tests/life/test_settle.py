"""Money that comes late, twice, or from two sides: the order is honoured or the money goes back, never both."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, scripts
from flashsale.life import cancel, expire, forget_contacts, inbox, refund, sale_control, settle, sweep_payments, tick
from flashsale.life.release import release
from flashsale.models import Contact, DemoCharge, Inbox, PaymentAttempt, Refund, Reservation, Sale, Trait, UnpaidHold
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, card_of, lobby_sale, open_now, poco_campaign, refusal, tend
from tests.faults.steps import (
    ONE_HELD,
    apart,
    broken,
    buy,
    called,
    come_due,
    due_again,
    dying,
    end,
    in_books,
    in_gate,
    money_astray,
    paid_by,
    paid_elsewhere,
    pay,
    reap,
    the_payment,
    told,
)
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.mark.books
def test_money_that_comes_in_time_by_notification_confirms_once_however_often_it_is_told() -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    assert [told(reference) for _ in range(3)] == ["paid"] * 3
    end(sale)
    assert in_books() == {"units": ["free", "sold"], "reservations": ["confirmed"], "claims": 2}
    assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 1, "used": [1, 1]}
    assert (Contact.objects.get().read()["name"], Trait.objects.count()) == ("ani", 2)
    assert broken(sale) == money_astray() == []


@pytest.mark.books
@pytest.mark.parametrize("heard", [True, False], ids=["the gate heard of the expiry", "the gate has not heard of it"])
def test_late_money_buys_the_unit_that_is_still_free(monkeypatch: pytest.MonkeyPatch, heard: bool) -> None:
    sale, (ani,) = called("ani", stock=1)
    reference = paid_elsewhere(ani)
    come_due(sale)
    if heard:
        reap(sale)
    else:
        dying(monkeypatch, expire, "give_back", lambda: reap(sale))
    assert Reservation.objects.get().state == "expired"
    assert told(reference) == told(reference) == "paid"
    assert in_books() == {"units": ["sold"], "reservations": ["confirmed"], "claims": 2}
    assert in_gate(sale) == {"offered": 0, "held": 0, "sold": 1, "used": [1, 1]}
    assert UnpaidHold.objects.count() == 0
    assert ani.reserve().replayed is True
    bridge.run(tick.mend_all())
    assert broken(sale) == money_astray() == []


def test_a_repeated_confirmation_gets_the_result_of_late_money() -> None:
    sale, (ani,) = called("ani", stock=1)
    paid_elsewhere(ani)
    end(sale)
    assert pay(ani, Reservation.objects.get().pk).state == "confirmed"
    assert broken(sale) == money_astray() == []


def test_money_that_comes_after_the_deadline_and_before_anybody_ended_the_hold_confirms() -> None:
    sale, (ani,) = called("ani", stock=1)
    reference = paid_elsewhere(ani)
    come_due(sale)
    assert told(reference) == "paid"
    assert reap(sale) == 0
    assert broken(sale) == money_astray() == []


class TestLateMoneyGoesBack:
    def _refused(self, sale: Sale, reference: str, before: dict[str, Any]) -> None:
        assert told(reference) == told(reference) == "refund_due"
        assert in_gate(sale) == before
        address = Contact.objects.filter(reservation__attempts__reference=reference)
        assert address.exists(), "the money may need a bank account to go to"
        assert [refund.refund_due(), refund.refund_due()] == [1, 0]
        forget_contacts.forget_unneeded()
        assert not address.exists()
        assert broken(sale) == money_astray() == []

    @pytest.mark.parametrize("how_far", ["called", "held", "confirmed"])
    def test_once_its_unit_is_promised_to_the_next_number(self, how_far: str) -> None:
        sale, people = called("ani", "budi", stock=1)
        first, second = sorted(people, key=lambda person: person.number())
        reference = paid_elsewhere(first)
        end(sale)
        tend(sale)
        if how_far == "held":
            second.reserve()
        elif how_far == "confirmed":
            buy(second)
        self._refused(sale, reference, in_gate(sale))
        assert second.reserve().replayed is (how_far != "called")

    def test_where_the_limit_was_used_meanwhile(self) -> None:
        campaign = poco_campaign()
        sale, other = (lobby_sale(campaign, stock={"POCO-M3-4-64": 1}, max_entries=1000) for _ in range(2))
        ani, again = Shopper(sale, "ani"), Shopper(other, "ani")
        for person in (ani, again):
            person.enter()
            open_now(person.sale)
            tend(person.sale)
        reference = paid_elsewhere(ani)
        end(sale)
        buy(again)
        self._refused(sale, reference, in_gate(sale))

    def test_where_the_buyer_had_given_the_units_back(self) -> None:
        sale, (ani,) = called("ani", stock=1)
        reference = paid_elsewhere(ani)
        release(reservation=Reservation.objects.get().pk, channel=ani.channel.id)
        self._refused(sale, reference, in_gate(sale))

    def test_once_the_sale_is_over(self) -> None:
        sale, (ani,) = called("ani", stock=1)
        reference = paid_elsewhere(ani)
        end(sale)
        sale_control.close_early(sale=sale)
        self._refused(sale, reference, in_gate(sale))


def test_late_money_waits_for_the_end_of_a_pause() -> None:
    sale, (ani,) = called("ani", stock=1)
    reference = paid_elsewhere(ani)
    end(sale)
    sale_control.pause(sale=sale)
    assert told(reference) == "started"
    assert Inbox.objects.get().done_at is None
    sale_control.resume(sale=sale)
    assert inbox.read_inbox() == 0, "it is asked about later"
    due_again()
    assert (inbox.read_inbox(), inbox.read_inbox(), the_payment().payment_state) == (1, 0, "paid")
    assert broken(sale) == money_astray() == []


def test_a_unit_kept_for_late_money_goes_back_when_the_books_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sale, (ani,) = called("ani", stock=1)
    reference = paid_elsewhere(ani)
    end(sale)
    with monkeypatch.context() as patch:
        patch.setattr(settle, "RETAKE_KEEP_MS", 0)
        dying(monkeypatch, settle, "_decide_late", lambda: told(reference))
        assert in_gate(sale) == ONE_HELD | {"offered": 0}
        assert [reap(sale), reap(sale)] == [1, 0]
    assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 0, "used": []}
    assert broken(sale) == []
    assert told(reference) == "paid"
    assert broken(sale) == money_astray() == []


def test_late_money_told_by_six_at_once_while_two_reap_is_settled_once() -> None:
    sale, (ani,) = called("ani", stock=1)
    reference = paid_elsewhere(ani)
    end(sale)
    at_once([lambda: told(reference)] * 6 + [lambda: [reap(sale) for _ in range(4)]] * 2)
    assert told(reference) == "paid"
    assert in_gate(sale) == {"offered": 0, "held": 0, "sold": 1, "used": [1, 1]}
    assert broken(sale) == money_astray() == []


def test_two_instruments_under_one_reference_are_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    sale, (ani,) = called("ani", stock=1)
    held = ani.reserve().id
    charge, other = payments.provider.begin, []

    async def crossing(asked: payments.Attempt) -> payments.Standing:
        """While the first is charged, the buyer confirms with another instrument in another tab."""
        charged = await charge(asked)
        monkeypatch.setattr(payments.provider, "begin", charge)
        other.append((await asyncio.to_thread(apart, pay, ani, held, instrument=payments.DEMO_DECLINED)).state)
        return charged

    monkeypatch.setattr(payments.provider, "begin", crossing)
    assert (pay(ani, held).state, other) == ("confirmed", ["confirmed"])
    assert DemoCharge.objects.count() == 1
    assert broken(sale) == money_astray() == []


def test_money_for_an_earlier_attempt_goes_back_at_once() -> None:
    sale, (ani,) = called("ani", stock=1)
    held = ani.reserve().id
    assert refusal(pay, ani, held, instrument=payments.DEMO_DECLINED) is Outcome.PAYMENT_DECLINED
    first = PaymentAttempt.objects.get().reference
    assert paid_by(pay(ani, held)).reference != first
    assert told(first) == "declined"
    DemoCharge.objects.filter(reference=first).update(state="paid")
    assert (told(first), refund.refund_due()) == ("refund_due", 1)
    assert PaymentAttempt.objects.get(reference=first).payment_state == "refunded"
    assert Reservation.objects.get().state == "confirmed"
    assert broken(sale) == money_astray() == []


@pytest.mark.parametrize(
    ("changes", "state"),
    [({"amount": 1}, "mismatch"), ({"amount": 1_798_999.99}, "mismatch"), ({"currency": "USD"}, "mismatch")],
)
def test_money_that_is_not_what_we_asked_for_buys_nothing_until_people_decide(
    changes: dict[str, Any], state: str
) -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    DemoCharge.objects.update(**changes)
    assert told(reference) == told(reference) == state
    attempt = the_payment()
    assert (attempt.paid, attempt.next_look_at is not None) == (DemoCharge.objects.get().amount, True)
    assert (in_gate(sale), refund.refund_due()) == (ONE_HELD, 0)
    held = Reservation.objects.get().pk
    assert refund.send_mismatch_back(reservation=held)
    assert not refund.send_mismatch_back(reservation=held)
    assert [refund.refund_due(), refund.refund_due()] == [1, 0]
    assert (the_payment().payment_state, Refund.objects.get().amount) == ("refunded", attempt.paid)
    assert pay(ani, held).state == "confirmed"


def test_what_is_paid_too_much_goes_back_and_the_order_stands() -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    DemoCharge.objects.update(amount=1_799_500)
    assert told(reference) == told(reference) == "paid"
    assert Refund.objects.values_list("why", "amount").get() == ("overpaid", Decimal(500))
    assert (refund.refund_due(), the_payment().payment_state) == (1, "paid")
    row = Reservation.objects.get()
    cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    assert [refund.refund_due(), refund.refund_due()] == [1, 0]
    assert sorted(Refund.objects.values_list("why", "amount")) == [
        ("cancelled", Decimal(1_799_000)),
        ("overpaid", Decimal(500)),
    ]
    assert (the_payment().payment_state, broken(sale)) == ("refunded", [])


def test_a_payment_that_the_provider_takes_back_stops_its_order_and_owes_nothing() -> None:
    sale, (ani, _) = called("ani", "budi")
    buy(ani)
    taken = payments.Standing(payments.StandingState.REVERSED)
    for _ in range(2):
        bridge.run(settle.settle(reference=the_payment().reference, standing=taken))
    row = Reservation.objects.get()
    assert (row.state, the_payment().payment_state, row.do_not_ship) == ("confirmed", "reversed", True)
    cancel.cancel(reservation=row.pk, channel=row.channel_id, code="payment_failed")
    assert (Refund.objects.count(), the_payment().payment_state) == (0, "reversed")
    assert broken(sale) == []


def test_a_notification_about_an_unknown_reference_changes_nothing() -> None:
    sale, (ani, _) = called("ani", "budi")
    paid_elsewhere(ani)
    body, headers = payments.DemoProvider().signed_notification(reference="unknown")
    assert inbox.references_in(account="demo", body=body, headers=headers) == ["unknown"]
    inbox.store(account="demo", references=["unknown"], body=body, headers=headers)
    assert [inbox.read_inbox(), inbox.read_inbox()] == [1, 0]
    assert (the_payment().payment_state, in_gate(sale)) == ("started", ONE_HELD)


def test_a_provider_that_does_not_answer_is_told_as_unknown_and_the_same_request_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sale, (ani,) = called("ani", stock=1)
    held = ani.reserve().id

    async def down(*_: Any) -> Any:
        raise payments.ProviderDown

    with monkeypatch.context() as patch:
        patch.setattr(payments.provider, "begin", down)
        assert refusal(pay, ani, held) is Outcome.UNKNOWN
    assert (the_payment().payment_state, Reservation.objects.get().state) == ("started", "held")
    assert pay(ani, held).state == "confirmed"
    assert broken(sale) == money_astray() == []


def test_a_number_called_at_the_last_moment_has_its_unit_and_the_money_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sale, people = called("ani", "budi", stock=1)
    first, second = sorted(people, key=lambda person: person.number())
    reference = paid_elsewhere(first)
    end(sale)
    survey = scripts.survey

    async def then_called(card: Any, line: Any) -> Any:
        figures = await survey(card, line)
        monkeypatch.setattr(scripts, "survey", survey)
        await tick.tick_sale(card=card)
        return figures

    monkeypatch.setattr(scripts, "survey", then_called)
    assert told(reference) == "started"
    assert (second.look().state, told(reference)) == ("called", "refund_due")
    assert buy(second).state == "confirmed"
    assert refund.refund_due() == 1
    assert broken(sale) == money_astray() == []


def test_no_number_is_called_by_who_has_not_seen_that_late_money_took_the_unit() -> None:
    sale, people = called("ani", "budi", stock=1)
    first, second = sorted(people, key=lambda person: person.number())
    reference = paid_elsewhere(first)
    end(sale)
    card = card_of(sale)
    figures: Any = bridge.run(scripts.survey(card, card.lines[0]))
    assert told(reference) == "paid"
    bridge.run(tick._call_people(card, card.lines[0], figures))
    assert second.look().state == "waiting"


def test_the_gate_of_another_run_leaves_late_money_for_later(gate: redis.Redis) -> None:
    sale, (ani,) = called("ani", stock=1)
    reference = paid_elsewhere(ani)
    end(sale)
    gate.flushall()
    assert told(reference) == "started"
    assert sweep_payments.settle_ended_holds() == 0
    bridge.run(tick.mend_all())
    due_again()
    assert sweep_payments.settle_ended_holds() == 1
    assert Reservation.objects.get().state == "confirmed"
    assert broken(sale) == money_astray() == []
