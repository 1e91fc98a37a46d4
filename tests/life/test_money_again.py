"""A provider that has money twice, takes it back, or sends more of it; and a row that cannot be settled."""

from decimal import Decimal

import pytest

from flashsale.books.reservations import RefusedByBooks
from flashsale.gate import bridge
from flashsale.life import cancel, inbox, refund, settle, sweep_payments
from flashsale.models import Inbox, PaymentAttempt, Refund, Reservation, Unit
from flashsale.providers import payments
from flashsale.providers.payments import Standing, StandingState
from flashsale.rules.outcomes import Outcome
from tests.factories import poco_campaign, refusal
from tests.faults.steps import broken, called, nth, paid_elsewhere, pay, the_payment
from tests.life.buyers import buyer, confirm_now, payment_choice
from tests.life.refunds import waits_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PRICE = 1_799_000


def says(reference: str, state: StandingState, paid: int = 0) -> settle.Settled:
    standing = Standing(state, "", Decimal(paid), "IDR")
    return bridge.run(settle.settle(reference=reference, standing=standing))


def owed() -> int:
    return sum(int(row.amount) for row in Refund.objects.exclude(state="withdrawn"))


def test_money_that_comes_a_second_time_for_a_paid_reference_goes_back() -> None:
    _, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    says(reference, StandingState.PAID, PRICE)
    for _ in range(2):
        says(reference, StandingState.PAID, 2 * PRICE)
    assert (Reservation.objects.get().state, owed()) == ("confirmed", PRICE)


def test_money_that_comes_a_second_time_for_late_money_goes_back_too() -> None:
    _, (ani, _) = called("ani", "budi")
    held = ani.reserve().id
    pay(ani, held, instrument=payments.DEMO_LATER)
    says(nth(held, 1), StandingState.CLOSED)
    says(nth(held, 1), StandingState.PAID, PRICE)
    for _ in range(2):
        says(nth(held, 1), StandingState.PAID, 2 * PRICE)
    assert owed() == 2 * PRICE


def test_late_money_that_the_provider_takes_back_is_not_refunded() -> None:
    _, (ani, _) = called("ani", "budi")
    held = ani.reserve().id
    pay(ani, held, instrument=payments.DEMO_LATER)
    says(nth(held, 1), StandingState.CLOSED)
    says(nth(held, 1), StandingState.PAID, PRICE)
    assert owed() == PRICE
    says(nth(held, 1), StandingState.REVERSED)
    assert owed() == 0


def test_an_order_whose_money_comes_back_after_it_was_taken_is_shipped() -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    for _ in range(2):
        says(reference, StandingState.PAID, PRICE)
        assert (the_payment().state, Reservation.objects.get().do_not_ship) == ("paid", False)
        says(reference, StandingState.REVERSED)
        assert (the_payment().state, Reservation.objects.get().do_not_ship) == ("reversed", True)
    assert waits_for(the_payment()) == ["reversed"]
    says(reference, StandingState.PAID, PRICE)
    assert (the_payment().state, waits_for(the_payment()), owed(), broken(sale)) == ("paid", [], 0, [])


def test_too_much_money_that_comes_back_after_it_was_taken_goes_back_once() -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    for _ in range(2):
        says(reference, StandingState.PAID, PRICE + 500)
        assert owed() == 500
        says(reference, StandingState.REVERSED)
        assert owed() == 0
    says(reference, StandingState.PAID, PRICE + 500)
    assert refund.refund_due() == 1
    says(reference, StandingState.REVERSED)
    says(reference, StandingState.PAID, PRICE + 500)
    assert (owed(), broken(sale)) == (500, [])


@pytest.mark.parametrize("sent", [False, True])
def test_late_money_that_comes_back_after_it_was_taken_is_decided_by_people(sent: bool) -> None:
    sale, (ani, _) = called("ani", "budi")
    held = ani.reserve().id
    pay(ani, held, instrument=payments.DEMO_LATER)
    says(nth(held, 1), StandingState.CLOSED)
    says(nth(held, 1), StandingState.PAID, PRICE)
    assert refund.refund_due() == 1 if sent else True
    says(nth(held, 1), StandingState.REVERSED)
    says(nth(held, 1), StandingState.PAID, PRICE)
    # What went back before went back once, so nothing more is owed then.
    assert waits_for(the_payment()) == ([] if sent else ["mismatch"])
    assert refund.send_mismatch_back(reservation=held) is not sent
    assert (owed(), broken(sale)) == (PRICE, [])


def test_a_cancelled_order_whose_money_comes_back_is_decided_by_people() -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    says(reference, StandingState.PAID, PRICE)
    says(reference, StandingState.REVERSED)
    order = Reservation.objects.get()
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="payment_failed")
    says(reference, StandingState.PAID, PRICE)
    assert (waits_for(the_payment()), owed()) == (["mismatch"], 0)
    assert refund.send_mismatch_back(reservation=order.pk)
    assert (owed(), broken(sale)) == (PRICE, [])


def test_a_paid_order_does_not_wait_for_other_money_that_was_taken_back() -> None:
    sale, (ani, _) = called("ani", "budi")
    held = ani.reserve().id
    pay(ani, held, instrument=payments.DEMO_LATER)
    says(nth(held, 1), StandingState.CLOSED)
    pay(ani, held)
    says(nth(held, 1), StandingState.PAID, PRICE)
    says(nth(held, 1), StandingState.REVERSED)
    order = Reservation.objects.get()
    assert (order.state, order.do_not_ship, owed()) == ("confirmed", False, 0)
    assert waits_for(PaymentAttempt.objects.get(reference=nth(held, 1))) == []
    says(nth(held, 1), StandingState.PAID, PRICE)
    assert [row.state for row in PaymentAttempt.objects.order_by("number")] == ["mismatch", "paid"]
    assert broken(sale) == []


def test_too_much_money_that_comes_after_a_refund_goes_back_as_well() -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    for paid, due in ((PRICE, 0), (PRICE + 500, 500), (PRICE + 700, 700)):
        says(reference, StandingState.PAID, paid)
        assert (Refund.objects.count(), owed()) == (bool(due), due)
    assert refund.refund_due() == 1
    says(reference, StandingState.PAID, PRICE + 900)
    assert sorted(Refund.objects.values_list("amount", "state")) == [(Decimal(200), "due"), (Decimal(700), "confirmed")]
    says(reference, StandingState.PAID, PRICE)
    assert (owed(), broken(sale)) == (900, [])


def test_money_in_another_currency_goes_back_in_that_currency() -> None:
    _, (ani, _) = called("ani", "budi")
    held = ani.reserve().id
    pay(ani, held, instrument=payments.DEMO_LATER)
    standing = Standing(StandingState.PAID, "", Decimal(120), "USD")
    bridge.run(settle.settle(reference=nth(held, 1), standing=standing))
    assert (the_payment().state, the_payment().paid, the_payment().paid_currency) == ("mismatch", Decimal(120), "USD")
    assert refund.send_mismatch_back(reservation=held)
    seen: list[payments.RefundRequest] = []

    async def sends(_: payments.DemoProvider, back: payments.RefundRequest) -> payments.RefundStanding:
        seen.append(back)
        return payments.RefundStanding("confirmed", "r-1")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payments.DemoProvider, "refund", sends)
        assert refund.refund_due() == 1
    assert [(back.amount, back.currency) for back in seen] == [(Decimal(120), "USD")]


def test_a_partners_reference_that_paid_before_does_not_end_the_payment_under_way() -> None:
    partner = ({"code": "lazada", "name": "Lazada", "payment_accounts": "demo,partner"},)
    _, (ani, budi) = called("ani", "budi", campaign=poco_campaign(channels=partner))
    first, second = ani.reserve().id, budi.reserve().id
    known = payment_choice(method="partner", instrument="P-1")
    paid = {"channel": ani.channel.id, "payment_choice": known}
    confirm_now(reservation=first, buyer=buyer("ani"), **paid)
    pay(budi, second, instrument=payments.DEMO_LATER)
    assert refusal(confirm_now, reservation=second, buyer=buyer("budi"), **paid) is Outcome.KEY_REUSED
    assert PaymentAttempt.objects.get(reservation=second).state == "waiting"


def test_the_rest_of_money_that_was_too_little_is_known() -> None:
    _, (ani, _) = called("ani", "budi")
    held = ani.reserve().id
    pay(ani, held, instrument=payments.DEMO_LATER)
    says(nth(held, 1), StandingState.PAID, 1000)
    says(nth(held, 1), StandingState.PAID, PRICE)
    assert refund.send_mismatch_back(reservation=held)
    assert owed() == PRICE


def test_the_rest_of_money_that_was_too_little_goes_back_when_the_first_part_was_sent_back() -> None:
    sale, (ani, _) = called("ani", "budi")
    held = ani.reserve().id
    pay(ani, held, instrument=payments.DEMO_LATER)
    says(nth(held, 1), StandingState.PAID, 1000)
    assert refund.send_mismatch_back(reservation=held)
    for _ in range(2):
        says(nth(held, 1), StandingState.PAID, PRICE)
        assert (owed(), the_payment().state) == (PRICE, "mismatch")
    assert refund.refund_due() == 2
    assert not refund.send_mismatch_back(reservation=held)
    assert (owed(), broken(sale)) == (PRICE, [])


def test_a_row_that_cannot_be_settled_delays_no_other_notification() -> None:
    _, people = called("ani", "budi")
    first, second = (paid_elsewhere(person) for person in people)
    bad = PaymentAttempt.objects.get(reference=first).reservation
    Unit.objects.filter(pk=bad.reservation_units.get().unit_id).update(state="free")
    for reference in (first, second):
        body, headers = payments.DemoProvider().signed_notification(reference=reference)
        inbox.store(account="demo", references=[reference], body=body, headers=headers)
    with pytest.raises(RefusedByBooks):
        inbox.read_inbox()
    assert Inbox.objects.filter(done_at=None).count() == 1
    assert PaymentAttempt.objects.get(reference=second).state == "paid"


def test_a_row_that_cannot_be_settled_delays_no_other_look() -> None:
    _, people = called("ani", "budi")
    first, second = (paid_elsewhere(person) for person in people)
    bad = PaymentAttempt.objects.get(reference=first).reservation
    Unit.objects.filter(pk=bad.reservation_units.get().unit_id).update(state="free")
    PaymentAttempt.objects.update(next_look_at="2020-01-01T00:00Z")
    with pytest.raises(RefusedByBooks):
        sweep_payments.look_due()
    assert PaymentAttempt.objects.get(reference=second).state == "paid"
