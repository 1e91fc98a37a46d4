"""Money that comes late, twice, or from two sides: the order is honoured or the money goes back, never both."""

from typing import Any

import pytest
import redis

from flashsale.gate import bridge, scripts
from flashsale.life import expire, refund, sale_control, settle, tick
from flashsale.life.release import release
from flashsale.models import Contact, DemoCharge, Payment, Reservation, Sale, Trait, UnpaidHold
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, card_of, lobby_sale, open_now, poco_campaign, refusal, tend
from tests.faults.steps import (
    ONE_HELD,
    broken,
    buy,
    called,
    come_due,
    dying,
    end,
    in_books,
    in_gate,
    money_astray,
    paid_elsewhere,
    pay,
    reap,
)
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def told(reference: str, *, paid: bool = True, amount: int = 1_799_000) -> str:
    return settle.handle_callback(callback=payments.Callback(reference, amount, "IDR", paid))


@pytest.mark.books
def test_money_that_comes_in_time_by_call_back_confirms_once_however_often_it_is_told() -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    assert [told(reference) for _ in range(3)] == ["paid"] * 3
    assert told(reference, paid=False) == "paid"
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
        assert [refund.refund_due(), refund.refund_due()] == [1, 0]
        assert not Contact.objects.filter(reservation__payment__reference=reference).exists()
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
    assert refusal(told, reference) is Outcome.UNKNOWN
    assert Payment.objects.get().state == "started"
    sale_control.resume(sale=sale)
    assert told(reference) == "paid"
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
    charge, other = payments.provider.charge, []

    def crossing(**fields: Any) -> payments.Charge:
        """While the first is charged, the buyer confirms with another instrument in another tab."""
        charged = charge(**fields)
        monkeypatch.setattr(payments.provider, "charge", charge)
        other.append(pay(ani, held, instrument=payments.DEMO_DECLINED).state)
        return charged

    monkeypatch.setattr(payments.provider, "charge", crossing)
    assert (pay(ani, held).state, other) == ("confirmed", ["confirmed"])
    assert DemoCharge.objects.count() == 1
    assert broken(sale) == money_astray() == []


def test_money_for_an_earlier_attempt_goes_back_at_once() -> None:
    sale, (ani,) = called("ani", stock=1)
    held = ani.reserve().id
    assert refusal(pay, ani, held, instrument=payments.DEMO_DECLINED) is Outcome.PAYMENT_DECLINED
    first = Payment.objects.get().reference
    assert pay(ani, held).payment.reference != first
    assert (told(first, paid=False), told(first)) == ("declined", "refunded")
    assert Reservation.objects.get().state == "confirmed"
    assert broken(sale) == money_astray() == []


def test_a_call_back_about_another_amount_or_an_unknown_reference_changes_nothing() -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    assert refusal(told, reference, amount=1) is Outcome.WRONG_PRICE
    for unknown in ("", "x", "00000000-0000-0000-0000-000000000000/1"):
        assert refusal(told, unknown) is Outcome.NOT_FOUND
    assert (Payment.objects.get().state, in_gate(sale)) == ("started", ONE_HELD)


def test_a_provider_that_does_not_answer_is_told_as_unknown_and_the_same_request_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sale, (ani,) = called("ani", stock=1)
    held = ani.reserve().id

    def down(**_: Any) -> Any:
        raise payments.ProviderDown

    with monkeypatch.context() as patch:
        patch.setattr(payments.provider, "charge", down)
        assert refusal(pay, ani, held) is Outcome.UNKNOWN
    assert (Payment.objects.get().state, Reservation.objects.get().state) == ("started", "held")
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
    assert refusal(told, reference) is Outcome.UNKNOWN
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
    assert refusal(told, reference) is Outcome.UNKNOWN
    assert settle.settle_ended_holds() == 0
    bridge.run(tick.mend_all())
    assert settle.settle_ended_holds() == 1
    assert Reservation.objects.get().state == "confirmed"
    assert broken(sale) == money_astray() == []
