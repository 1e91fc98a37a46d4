"""Paying and cancelling at once: one charge, one end, and correct counters in Redis, in any order of its messages."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import pytest
import redis
from django.db import IntegrityError

from flashsale.books import call_keys, orders
from flashsale.gate import bridge, scripts
from flashsale.life import ask_provider, cancel, confirm, judge_payment, refund, settle, start_payment, tell_gate, tick
from flashsale.life.payment_request import CallKey, PaymentChoice, Started, StartRequest
from flashsale.models import (
    ApiCall,
    Cancellation,
    Contact,
    DemoCharge,
    LimitSlot,
    PaymentAttempt,
    Refund,
    Reservation,
    Sale,
)
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import Shopper, poco_campaign, refusal
from tests.faults.steps import (
    apart,
    broken,
    buy,
    called,
    dropped,
    in_gate,
    money_astray,
    nth,
    paid_by,
    paid_elsewhere,
    pay,
    told,
)
from tests.faults.steps import end as end_holds
from tests.life.buyers import buyer
from tests.races.crowd import at_once, without

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def end(row: Reservation) -> str:
    return cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request").state


class TestPayingTwiceAtOnce:
    def _twice(self, monkeypatch: pytest.MonkeyPatch) -> Sale:
        """Sends the second request while the first one is being charged."""
        sale, (ani, _) = called("ani", "budi")
        held, begin = ani.reserve().id, payments.provider.begin

        async def meanwhile(asked: payments.Attempt) -> payments.Standing:
            monkeypatch.setattr(payments.provider, "begin", begin)
            await asyncio.to_thread(apart, pay, ani, held)
            return await begin(asked)

        monkeypatch.setattr(payments.provider, "begin", meanwhile)
        pay(ani, held)
        return sale

    def test_is_charged_twice_where_each_request_has_a_reference_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        numbers, judge = itertools.count(1), judge_payment.judge

        def anew(request: Any, known: Any, now: Any) -> Any:
            then = judge(request, known._replace(attempts={}), now)
            if isinstance(then, judge_payment.Fresh):
                then.attempt.number = next(numbers)
                return then._replace(had_attempts=True)
            return then

        monkeypatch.setattr(start_payment, "judge", anew)
        with dropped(PaymentAttempt, "one_open_attempt_per_reservation"):
            self._twice(monkeypatch)
            assert DemoCharge.objects.filter(state="paid").count() == 2

    def test_is_refused_by_the_table_where_each_request_has_a_reference_of_its_own(self) -> None:
        _, (ani, _) = called("ani", "budi")
        attempt = paid_by(pay(ani, ani.reserve().id, instrument=payments.DEMO_LATER))
        attempt.pk, attempt.number, attempt.reference = None, 2, "fs-2"
        with pytest.raises(IntegrityError, match="one_open_attempt_per_reservation"):
            attempt.save(force_insert=True)

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
        held, begin = ani.reserve().id, payments.provider.begin

        async def meanwhile(asked: payments.Attempt) -> payments.Standing:
            monkeypatch.setattr(payments.provider, "begin", begin)
            paid = await begin(asked)
            await asyncio.to_thread(apart, pay, ani, held, payment="card-2")
            return paid

        monkeypatch.setattr(payments.provider, "begin", meanwhile)
        assert pay(ani, held, payment="card-1").state == "confirmed"
        return list(DemoCharge.objects.filter(state="paid", refunded=False).values_list("reference", flat=True))

    @staticmethod
    async def _unasked(started: Any, _detail: str) -> Any:
        """Replaces the request to close a payment: it is not sent, or the bank agrees and still charges."""
        closed = payments.Standing(payments.StandingState.CLOSED)
        return await settle.settle(reference=started.attempt.reference, standing=closed)

    @staticmethod
    async def _kept(_attempt: PaymentAttempt) -> None:
        """Replaces the refund of late money."""

    def test_charges_both_without_a_request_to_the_bank_and_without_a_check_afterwards(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(confirm, "_end_attempt", self._unasked)
        monkeypatch.setattr(confirm, "_send_back", self._kept)
        assert len(self._both(monkeypatch)) == 2

    def test_sends_the_first_money_back_where_the_bank_closes_and_charges_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(confirm, "_end_attempt", self._unasked)
        assert self._both(monkeypatch) == [nth(Reservation.objects.get().pk, 2)]
        assert money_astray() == []

    def test_charges_the_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self._both(monkeypatch) == [nth(Reservation.objects.get().pk, 1)]
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


def test_money_of_a_declined_attempt_that_is_told_while_the_next_one_starts_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sale, (ani, _) = called("ani", "budi")
    held, look = ani.reserve().id, ask_provider.look
    assert refusal(pay, ani, held, instrument=payments.DEMO_DECLINED) is Outcome.PAYMENT_DECLINED
    DemoCharge.objects.update(state="paid")

    async def meanwhile(attempt: PaymentAttempt) -> payments.Standing:
        """The buyer pays anew between the notification and its effect."""
        standing = await look(attempt)
        await asyncio.to_thread(apart, pay, ani, held)
        return standing

    monkeypatch.setattr(ask_provider, "look", meanwhile)
    assert told(nth(held, 1)) == "refund_due"
    assert refund.refund_due() == 1
    charges = DemoCharge.objects.order_by("pk").values_list("state", "refunded")
    assert list(charges) == [("paid", True), ("paid", False)]
    assert (Reservation.objects.get().state, Contact.objects.count()) == ("confirmed", 1)
    assert broken(sale) == money_astray() == []


class TestARepeatWhileTheFirstRequestIsDeclined:
    def _repeated(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """The repeat of a request waits for the lock of the reservation. Meanwhile its first attempt is declined."""
        _, (ani, _) = called("ani", "budi")
        held, lock = ani.reserve().id, orders.lock_reservations
        call = CallKey(ani.channel.id, "one-key", "f" * 64)
        choice = PaymentChoice(1_799_000, "qris", payments.DEMO_DECLINED)
        request: dict[str, Any] = {"reservation": held, "channel": ani.channel.id, "buyer": buyer("ani")}
        request["payment_choice"] = choice
        ApiCall.objects.create(channel_id=ani.channel.id, key=call.key, fingerprint=call.fingerprint)

        def late(ids: Any) -> Any:
            monkeypatch.setattr(orders, "lock_reservations", lock)
            with ThreadPoolExecutor(1) as thread:
                first = thread.submit(apart, _word, bridge.run, confirm.confirm(**request, call=call))
                assert first.result(timeout=120) is Outcome.PAYMENT_DECLINED
            return lock(ids)

        monkeypatch.setattr(orders, "lock_reservations", late)
        return start_payment.start_all([StartRequest(**request, call=call)])[0]

    def test_starts_a_second_attempt_where_the_call_is_read_before_the_lock(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = call_keys.bound_calls

        def early(keys: Any) -> Any:
            """What was there when the repeat came."""
            return {key: call._replace(attempt="") for key, call in read(keys).items()}

        monkeypatch.setattr(call_keys, "bound_calls", early)
        assert isinstance(self._repeated(monkeypatch), Started)
        assert PaymentAttempt.objects.count() == 2

    def test_is_declined_like_the_first_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refused = self._repeated(monkeypatch)
        assert isinstance(refused, Refused)
        assert (refused.outcome, PaymentAttempt.objects.count()) == (Outcome.PAYMENT_DECLINED, 1)


class TestACancellationThatOvertakesItsConfirmation:
    def _overtaken(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """The order is cancelled. Redis gets the cancellation before the confirmation."""
        sale, (ani, _) = called("ani", "budi")
        tell = tell_gate.tell_gate

        async def late(row: Reservation) -> None:
            await asyncio.to_thread(apart, end, row)
            await tell(row)

        monkeypatch.setattr(settle, "tell_gate", late)
        buy(ani)
        return in_gate(sale)

    def test_leaves_a_sale_counted_without_the_gates_guard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heard = "if redis.call('ZREM', KEYS[3], ARGV[i]) == 1 then"
        monkeypatch.setattr(scripts, "CONFIRM", without(scripts.CONFIRM, heard, "if true then"))
        assert self._overtaken(monkeypatch)["sold"] == 1

    def test_leaves_nothing_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self._overtaken(monkeypatch) == {"offered": 2, "held": 0, "sold": 0, "used": []}
        assert refund.refund_due() == 1
        assert money_astray() == []


class TestLateMoneyThatTwoProcessesBring:
    GUARD = "if here and not redis.call('ZSCORE', KEYS[7], request.id) then return {'reserved'} end"

    def _both(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Before the one process retakes the units, the other one does all of it: retakes, confirms, tells Redis."""
        sale, (ani, _) = called("ani", "budi")
        reference = paid_elsewhere(ani)
        end_holds(sale)
        retake = scripts.retake

        async def meanwhile(*args: Any, **fields: Any) -> Outcome:
            monkeypatch.setattr(scripts, "retake", retake)
            assert await asyncio.to_thread(apart, told, reference) == "paid"
            return await retake(*args, **fields)

        monkeypatch.setattr(scripts, "retake", meanwhile)
        assert told(reference) == "paid"
        assert Reservation.objects.get().state == "confirmed"
        assert money_astray() == []
        return in_gate(sale)

    def test_counts_the_order_twice_without_the_gates_guard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scripts, "RETAKE", without(scripts.RETAKE, self.GUARD))
        assert self._both(monkeypatch) == {"offered": 1, "held": -1, "sold": 2, "used": [1, 1]}

    def test_counts_the_order_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self._both(monkeypatch) == {"offered": 1, "held": 0, "sold": 1, "used": [1, 1]}


def test_an_order_is_confirmed_though_the_gate_is_filled_anew_before_it_hears(
    monkeypatch: pytest.MonkeyPatch, gate: redis.Redis
) -> None:
    sale, (ani, _) = called("ani", "budi")
    tell = tell_gate.tell_gate

    async def late(row: Reservation) -> None:
        gate.flushall()
        await tick.mend_all()
        await tell(row)

    monkeypatch.setattr(settle, "tell_gate", late)
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
    assert Cancellation.objects.count() == Refund.objects.filter(state="due").count() == ended
    assert refund.refund_due() == ended
    assert in_gate(sale)["sold"] == 4 - ended
    assert broken(sale) == money_astray() == []


def _word(act: Any, *args: Any, **fields: Any) -> Any:
    try:
        return act(*args, **fields)
    except Refused as refused:
        return refused.outcome
