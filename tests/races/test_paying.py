"""Paying and cancelling at once: one charge, one end, and correct counters in Redis, in any order of its messages."""

import itertools
from functools import partial
from typing import Any, ClassVar

import pytest
import redis

from flashsale.gate import bridge, scripts
from flashsale.life import cancel, confirm, refund, settle, tick
from flashsale.models import Cancellation, DemoCharge, LimitSlot, Payment, Reservation, Sale
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import Shopper, poco_campaign, refusal
from tests.faults.steps import broken, buy, called, in_gate, money_astray, pay
from tests.races.crowd import at_once, without

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def end(row: Reservation) -> str:
    return cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request").state


class TestPayingTwiceAtOnce:
    def _twice(self, monkeypatch: pytest.MonkeyPatch) -> Sale:
        """Sends the second request while the first one is being charged."""
        sale, (ani, _) = called("ani", "budi")
        held, charge = ani.reserve().id, payments.provider.charge

        def meanwhile(**fields: Any) -> payments.Charge:
            monkeypatch.setattr(payments.provider, "charge", charge)
            pay(ani, held)
            return charge(**fields)

        monkeypatch.setattr(payments.provider, "charge", meanwhile)
        pay(ani, held)
        return sale

    def test_is_charged_twice_where_each_request_has_a_reference_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempts, start = itertools.count(1), confirm._start_payment

        def anew(row: Reservation, known: Payment | None, *rest: Any) -> Payment:
            reference = f"{row.pk}/{next(attempts)}"
            earlier = known and Payment(pk=known.pk, reservation=row, reference=reference, state="declined")
            return start(row, earlier, *rest)

        monkeypatch.setattr(confirm, "_start_payment", anew)
        monkeypatch.setattr(confirm, "refund_earlier_attempt", lambda _: None)
        self._twice(monkeypatch)
        assert DemoCharge.objects.filter(state="paid").count() == 2
        assert money_astray() != []

    def test_is_charged_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale = self._twice(monkeypatch)
        assert DemoCharge.objects.count() == 1
        assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 1, "used": [1, 1]}
        assert broken(sale) == money_astray() == []

    def test_is_charged_once_when_it_is_pressed_twenty_times(self) -> None:
        sale, (ani, _) = called("ani", "budi")
        held = ani.reserve().id
        rows = at_once([lambda: [pay(ani, held) for _ in range(5)]] * 4)
        assert {(row.state, row.confirmed_at) for some in rows for row in some} == {
            ("confirmed", Reservation.objects.get().confirmed_at)
        }
        assert DemoCharge.objects.count() == 1
        assert broken(sale) == money_astray() == []


class TestAnotherCardWhileTheFirstIsCharged:
    AXES: ClassVar = {Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter", Axis.PAYMENT: "hard confirm"}

    def _both(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The bank has charged one card. Before we know it, the buyer sends another. Returns the paid references."""
        _, (ani, _) = called("ani", "budi", campaign=poco_campaign(axes=self.AXES))
        held, charge = ani.reserve().id, payments.provider.charge

        def meanwhile(**fields: Any) -> payments.Charge:
            monkeypatch.setattr(payments.provider, "charge", charge)
            paid = charge(**fields)
            pay(ani, held, payment="card-2")
            return paid

        monkeypatch.setattr(payments.provider, "charge", meanwhile)
        assert pay(ani, held, payment="card-1").state == "confirmed"
        return list(DemoCharge.objects.filter(state="paid", refunded=False).values_list("reference", flat=True))

    @staticmethod
    def _unasked(row: Reservation) -> None:
        """Replaces the request to close a payment: it is not sent, or the bank agrees and still charges."""
        settle.settle(reference=row.payment.reference, paid=False)

    def test_charges_both_without_a_request_to_the_bank_and_without_a_check_afterwards(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(confirm, "_close_attempt_before", self._unasked)
        monkeypatch.setattr(confirm, "refund_earlier_attempt", lambda _: None)
        assert len(self._both(monkeypatch)) == 2

    def test_sends_the_first_money_back_where_the_bank_closes_and_charges_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(confirm, "_close_attempt_before", self._unasked)
        assert self._both(monkeypatch) == [f"{Reservation.objects.get().pk}/2"]
        assert money_astray() == []

    def test_charges_the_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self._both(monkeypatch) == [f"{Reservation.objects.get().pk}/1"]
        assert money_astray() == []

    def test_charges_one_when_four_are_sent_at_once_again_and_again(self) -> None:
        sale, (ani, _) = called("ani", "budi", campaign=poco_campaign(axes=self.AXES))
        held = ani.reserve().id

        def pays(card: str) -> list[Any]:
            return [_word(pay, ani, held, payment=card) for _ in range(3)]

        at_once([partial(pays, f"card-{n}") for n in range(4)])
        assert pay(ani, held, payment="card-0").state == "confirmed"
        assert DemoCharge.objects.filter(state="paid").count() == 1
        assert LimitSlot.objects.filter(axis="payment").count() == 1
        assert broken(sale) == money_astray() == []


class TestMoneyOfADeclinedAttemptThatIsToldWhileTheNextOneStarts:
    def _crossed(self, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[tuple[str, str, bool]]]:
        """The buyer pays anew between the read of a callback and its lock. Returns the result and the charges."""
        _, (ani, _) = called("ani", "budi")
        held, decide = ani.reserve().id, settle._decide
        assert refusal(pay, ani, held, instrument=payments.DEMO_DECLINED) is Outcome.PAYMENT_DECLINED
        DemoCharge.objects.update(state="paid")

        def meanwhile(*args: Any) -> Reservation:
            monkeypatch.setattr(settle, "_decide", decide)
            assert pay(ani, held).payment.reference == f"{held}/2"
            return decide(*args)

        monkeypatch.setattr(settle, "_decide", meanwhile)
        said = settle.handle_callback(callback=payments.Callback(f"{held}/1", 1_799_000, "IDR", paid=True))
        charges = DemoCharge.objects.order_by("reference").values_list("reference", "state", "refunded")
        return said, [(reference.partition("/")[2], state, refunded) for reference, state, refunded in charges]

    def test_is_kept_without_the_check_that_it_is_another_attempt_by_then(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(settle, "refund_earlier_attempt", lambda _told: "paid")
        assert self._crossed(monkeypatch) == ("paid", [("1", "paid", False), ("2", "paid", False)])
        assert len(money_astray()) == 1

    def test_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self._crossed(monkeypatch) == ("refunded", [("1", "paid", True), ("2", "paid", False)])
        assert Reservation.objects.get().state == "confirmed"
        assert money_astray() == []


class TestACancellationThatOvertakesItsConfirmation:
    def _overtaken(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """The order is cancelled. Redis gets the cancellation before the confirmation."""
        sale, (ani, _) = called("ani", "budi")
        tell = settle._tell_gate

        def late(row: Reservation) -> None:
            end(row)
            tell(row)

        monkeypatch.setattr(settle, "_tell_gate", late)
        buy(ani)
        return in_gate(sale)

    def test_leaves_a_sale_counted_without_the_gates_guard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heard = "if redis.call('ZREM', KEYS[3], ARGV[2]) == 1 then"
        monkeypatch.setattr(scripts, "CONFIRM", without(scripts.CONFIRM, heard, "if true then"))
        assert self._overtaken(monkeypatch)["sold"] == 1

    def test_leaves_nothing_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self._overtaken(monkeypatch) == {"offered": 2, "held": 0, "sold": 0, "used": []}
        assert refund.refund_due() == 1
        assert money_astray() == []


def test_an_order_is_confirmed_though_the_gate_is_filled_anew_before_it_hears(
    monkeypatch: pytest.MonkeyPatch, gate: redis.Redis
) -> None:
    sale, (ani, _) = called("ani", "budi")
    tell = settle._tell_gate

    def late(row: Reservation) -> None:
        gate.flushall()
        bridge.run(tick.mend_all())
        tell(row)

    monkeypatch.setattr(settle, "_tell_gate", late)
    assert buy(ani).state == "confirmed"
    assert Sale.objects.get().epoch == sale.epoch + 1
    assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 1, "used": [1, 1]}
    assert broken(sale) == money_astray() == []


def test_orders_confirmed_and_cancelled_at_once_are_one_or_the_other() -> None:
    sale, people = called(*(f"person-{n}" for n in range(4)), stock=4)
    rows = {person: Reservation.objects.get(pk=person.reserve().id) for person in people}

    def pays(person: Shopper) -> Any:
        return pay(person, rows[person].pk).state

    def cancels(person: Shopper) -> list[Any]:
        return [_word(end, rows[person]) for _ in range(6)]

    answers = at_once(
        [lambda p=person: pays(p) for person in people] + [lambda p=person: cancels(p) for person in people]
    )
    assert {answer for some in answers[4:] for answer in some} <= {Outcome.NOT_CANCELLABLE, "cancelled"}
    ended = Reservation.objects.filter(state="cancelled").count()
    assert ended + Reservation.objects.filter(state="confirmed").count() == 4
    assert Cancellation.objects.count() == Payment.objects.filter(state="refund_due").count() == ended
    assert refund.refund_due() == ended
    assert in_gate(sale)["sold"] == 4 - ended
    assert broken(sale) == money_astray() == []


def _word(act: Any, *args: Any, **fields: Any) -> Any:
    try:
        return act(*args, **fields)
    except Refused as refused:
        return refused.outcome
