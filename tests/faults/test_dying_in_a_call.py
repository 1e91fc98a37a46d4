"""The process dies between the effect of a partner's call and its answer, or in a sweep: nothing happens twice."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F

from flashsale.gate import bridge
from flashsale.gate.provider_pace import next_turn
from flashsale.life import cancel, refund, sweep_payments
from flashsale.life.confirm import PaymentChoice
from flashsale.life.payment_request import CallKey
from flashsale.models import ApiCall, DemoCharge, PaymentAttempt, Refund, Reservation
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome
from flashsale.web.api.confirm_once import Answer, confirm_once
from flashsale.web.idempotency import answer_once
from tests.factories import Shopper, end_now, poco_campaign, refusal
from tests.faults.steps import (
    ONE_HELD,
    broken,
    called,
    come_due,
    dies_at,
    due_again,
    in_gate,
    money_astray,
    paid_by,
    pay,
    reap,
    the_payment,
    told,
)
from tests.life.buyers import buyer, payment_choice

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
ONE_SOLD = {"offered": 1, "held": 0, "sold": 1, "used": [1, 1]}
PARTNER = ({"code": "lazada", "name": "Lazada", "payment_accounts": "partner"},)


def asks(person: Shopper, id_: UUID, *, key: str = "k1", choice: PaymentChoice | None = None) -> Answer:
    """What the hot door does with a confirmation that it has read."""
    call = CallKey(person.channel.id, key, f"{id_}-{choice}"[:64])
    values = {"buyer": buyer(person.name), "payment_choice": choice or payment_choice()}
    return bridge.run(confirm_once(reservation=id_, call=call, values=values))


def over(person: Shopper) -> None:
    """The holds of the sale end."""
    come_due(person.sale)
    reap(person.sale)


class TestDyingWhileAPartnerConfirms:
    @pytest.fixture
    def ani(self, gate: Any, transactional_db: None) -> Shopper:  # noqa: ARG002 - both must be there first
        _, (ani, _) = called("ani", "budi")
        return ani

    def test_continues_from_a_turn_that_was_given_with_another_turn(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = ani.reserve().id
        with monkeypatch.context() as slow:
            slow.setattr(payments.provider, "pace", 0.1)
            bridge.run(next_turn("demo", pace=0.1))
            dies_at(monkeypatch, "confirm: turn given", lambda: asks(ani, held))
            assert (the_payment().turn_at, DemoCharge.objects.count()) == (None, 0)
            assert asks(ani, held).status == 202
        PaymentAttempt.objects.update(turn_at=F("made_at"))
        self._is_bought_once(ani, held)

    def test_continues_from_an_order_that_a_notification_has_confirmed(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held, later = ani.reserve().id, payment_choice(instrument=payments.DEMO_LATER)
        assert asks(ani, held, choice=later).status == 200
        payments.DemoProvider().pay(reference=the_payment().reference)
        assert told(the_payment().reference) == "paid"
        dies_at(monkeypatch, "confirm: heard", lambda: asks(ani, held, choice=later))
        assert (Reservation.objects.get().state, in_gate(ani.sale)) == ("confirmed", ONE_SOLD)
        assert ApiCall.objects.get().answer is None
        self._is_bought_once(ani, held, choice=later)

    def test_continues_from_a_payment_that_was_declined_with_the_same_refusal(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held, declined = ani.reserve().id, payment_choice(instrument=payments.DEMO_DECLINED)
        dies_at(monkeypatch, "confirm: declined", lambda: asks(ani, held, choice=declined))
        assert (the_payment().payment_state, ApiCall.objects.get().answer) == ("declined", None)
        for _ in range(2):
            assert refusal(asks, ani, held, choice=declined) is Outcome.PAYMENT_DECLINED
        assert (DemoCharge.objects.count(), in_gate(ani.sale)) == (1, ONE_HELD)
        self._is_bought_once(ani, held, key="k2")

    @pytest.mark.parametrize("late", [False, True])
    def test_continues_from_a_late_order_that_redis_has_not_heard_of(
        self, ani: Shopper, monkeypatch: pytest.MonkeyPatch, late: bool
    ) -> None:
        held = ani.reserve().id
        dies_at(monkeypatch, "confirm: charged", lambda: asks(ani, held))
        over(ani)
        dies_at(monkeypatch, "confirm: confirmed", sweep_payments.settle_ended_holds)
        assert (Reservation.objects.get().state, in_gate(ani.sale)) == ("confirmed", ONE_HELD)
        if late:
            come_due(ani.sale)
            assert [reap(ani.sale), reap(ani.sale)] == [1, 0]
        else:
            assert told(the_payment().reference) == "paid"
        assert in_gate(ani.sale) == ONE_SOLD
        self._is_bought_once(ani, held)

    @staticmethod
    def _is_bought_once(ani: Shopper, held: UUID, **fields: Any) -> None:
        first, again = asks(ani, held, **fields), asks(ani, held, **fields)
        assert (first.status, again.text, again.replayed) == (200, first.text, True)
        assert (Reservation.objects.get().state, in_gate(ani.sale)) == ("confirmed", ONE_SOLD)
        assert DemoCharge.objects.filter(state="paid").count() == 1
        assert broken(ani.sale) == money_astray() == []


class TestDyingWhileAPartnerThatChargesItselfConfirms:
    @pytest.mark.parametrize("point", ["started", "charged"])
    @pytest.mark.parametrize("again", [False, True])
    def test_continues_with_the_same_request_and_without_it_the_hold_ends_unpaid(
        self, monkeypatch: pytest.MonkeyPatch, point: str, again: bool
    ) -> None:
        sale, (ani, _) = called("ani", "budi", campaign=poco_campaign(channels=PARTNER))
        held, word = ani.reserve().id, payment_choice(method="partner", instrument="LZD-1")
        act = lambda: asks(ani, held, choice=word)  # noqa: E731
        if point == "started":
            dies_at(monkeypatch, "confirm: started", act)
        else:
            dies_at(monkeypatch, "confirm: charged", act)
        assert (the_payment().payment_state, in_gate(sale)) == ("started", ONE_HELD)
        if again:
            assert (act().status, act().replayed, in_gate(sale)) == (200, True, ONE_SOLD)
        else:
            over(ani)
            assert [sweep_payments.settle_ended_holds(), sweep_payments.settle_ended_holds()] == [1, 0]
            for _ in range(2):
                assert refusal(act) is Outcome.EXPIRED
            assert (the_payment().state, Refund.objects.count()) == ("closed", 0)
        assert broken(sale) == []

    def test_continues_from_a_refund_that_it_has_answered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, (ani, _) = called("ani", "budi", campaign=poco_campaign(channels=PARTNER))
        held = ani.reserve().id
        asks(ani, held, choice=payment_choice(method="partner", instrument="LZD-1"))
        end_now(sale)
        cancel.cancel(reservation=held, channel=ani.channel.id, code="buyer_request")
        assert refund.refund_due() == 1
        row, channel = Refund.objects.get(), ani.channel.id

        def says(reference: str) -> Callable[[], Any]:
            def act(_: int) -> dict[str, Any]:
                refund.partner_refunded(reservation=held, channel=channel, refund=row.reference, reference=reference)
                return {"refunded": reference}

            return lambda: answer_once(channel=channel, key="r1", request="r1", act=act)

        dies_at(monkeypatch, "call: done", says("LZD-R-1"))
        row.refresh_from_db()
        assert (row.state, row.provider_id) == ("confirmed", "LZD-R-1")
        assert [says("LZD-R-1")(), says("LZD-R-1")()] == [({"refunded": "LZD-R-1"}, n) for n in (False, True)]
        settled = Refund.objects.get()
        assert (settled.provider_id, settled.settled_at) == ("LZD-R-1", row.settled_at)
        assert broken(sale) == []


class TestDyingInASweep:
    def test_continues_from_a_payment_that_was_closed_by_closing_it_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sale, (ani, _) = called("ani", "budi")
        pay(ani, ani.reserve().id, instrument=payments.DEMO_LATER)
        over(ani)
        dies_at(monkeypatch, "sweep: closed", sweep_payments.settle_ended_holds)
        assert (the_payment().payment_state, DemoCharge.objects.get().state) == ("started", "declined")
        assert payments.DemoProvider().pay(reference=the_payment().reference) is payments.Charge.DECLINED
        due_again()
        assert [sweep_payments.settle_ended_holds(), sweep_payments.settle_ended_holds()] == [1, 0]
        assert (the_payment().state, Refund.objects.count()) == ("closed", 0)
        assert broken(sale) == money_astray() == []

    @pytest.mark.parametrize("by", ["a notification", "the next look"])
    def test_continues_from_a_look_that_was_put_off(self, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
        sale, (ani, _) = called("ani", "budi")
        held = ani.reserve().id
        paid_by(pay(ani, held, instrument=payments.DEMO_LATER))
        payments.DemoProvider().pay(reference=the_payment().reference)
        PaymentAttempt.objects.update(next_look_at=F("made_at"))
        dies_at(monkeypatch, "sweep: put off", sweep_payments.look_due)
        attempt = the_payment()
        assert attempt.payment_state == "started"
        assert attempt.next_look_at is not None
        assert attempt.next_look_at - attempt.made_at <= timedelta(minutes=2)
        if by == "a notification":
            assert told(attempt.reference) == "paid"
        else:
            assert sweep_payments.look_due() == 0
            PaymentAttempt.objects.update(next_look_at=F("made_at"))
            assert sweep_payments.look_due() == 1
        assert (the_payment().payment_state, in_gate(sale)) == ("paid", ONE_SOLD)
        assert broken(sale) == money_astray() == []
