"""Money that goes another way than our rows say: it stands on the list of people, with a next step and a date."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from flashsale.gate import bridge
from flashsale.life import cancel, inbox, refund, schedule, settle, stray_refunds, sweep_payments
from flashsale.life.judge_standing import PEOPLE
from flashsale.life.waiting_money import ACTIONS, missing_accounts
from flashsale.management.doctor_checks import missing_accounts as check_accounts
from flashsale.models import BankAccount, Inbox, PaymentAttempt, Record, Refund, Reservation
from flashsale.providers import payments
from flashsale.providers.payments import RefundStanding, Standing, StandingState
from flashsale.rules.outcomes import Outcome
from tests.admin.forms import messages_on, submit
from tests.factories import draft_sale, poco_campaign, refusal
from tests.faults.steps import broken, called, due_again, nth, paid_elsewhere, pay, the_payment
from tests.life.refunds import waits_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PRICE = 1_799_000


def says(reference: str, state: StandingState, paid: int = 0, currency: str = "IDR") -> None:
    bridge.run(settle.settle(reference=reference, standing=Standing(state, "", Decimal(paid), currency)))


def refunds_stand(monkeypatch: pytest.MonkeyPatch, states: Mapping[str, str]) -> list[tuple[str, str]]:
    """The provider's word for each refund by its reference; "unknown" for others. Returns what it is asked."""
    asked: list[tuple[str, str]] = []

    def call(verb: str, usual: str) -> Any:
        async def answer(back: payments.RefundRequest) -> RefundStanding:
            asked.append((verb, back.reference))
            return RefundStanding(states.get(back.reference, usual), f"their-{back.reference}", "why")  # type: ignore[arg-type]

        return answer

    monkeypatch.setattr(payments.provider, "refund", call("refund", "sent"))
    monkeypatch.setattr(payments.provider, "look_refund", call("look", "unknown"))
    return asked


def hinted() -> None:
    reference = the_payment().reference
    body, headers = payments.DemoProvider().signed_notification(reference=reference)
    inbox.store(account="demo", references=[reference], body=body, headers=headers)
    inbox.read_inbox()


@pytest.fixture
def cancelled(gate: Any, transactional_db: None) -> Reservation:
    """An order that was paid and cancelled, so that its money is due to go back."""
    _, (ani, _) = called("ani", "budi")
    says(paid_elsewhere(ani), StandingState.PAID, PRICE)
    order = Reservation.objects.get()
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="payment_failed")
    return order


@pytest.fixture
def dewi(transactional_db: None) -> User:
    return User.objects.create_user("dewi")


class TestAPaymentThatIsTakenBackWhileItsRefundIsOnTheWay:
    @pytest.mark.parametrize("state", ["sent", "confirmed"])
    def test_stands_on_the_list_until_a_person_has_settled_it(
        self, cancelled: Reservation, monkeypatch: pytest.MonkeyPatch, dewi: User, state: str
    ) -> None:
        row = Refund.objects.get()
        refunds_stand(monkeypatch, {row.reference: state})
        assert refund.refund_due() == 1
        says(the_payment().reference, StandingState.REVERSED)
        attempt = the_payment()
        assert (attempt.state, waits_for(attempt)) == ("reversed", ["doubt-reversed"])
        (action,) = [one for one in ACTIONS if one.name == "doubt-reversed"]
        assert action.until(attempt) == attempt.doubt_at + PEOPLE
        assert stray_refunds.settle_doubt(attempt=attempt.pk, by=dewi)
        assert not stray_refunds.settle_doubt(attempt=attempt.pk, by=dewi)
        assert (waits_for(the_payment()), Record.objects.filter(what="settle_doubt").count()) == ([], 1)
        assert broken(cancelled.sale) == []

    @pytest.mark.parametrize("word", ["failed", "impossible", "unknown"])
    def test_is_never_sent_back_once_more(
        self, cancelled: Reservation, monkeypatch: pytest.MonkeyPatch, word: str
    ) -> None:
        row = Refund.objects.get()
        states = {row.reference: "sent"}
        asked = refunds_stand(monkeypatch, states)
        refund.refund_due()
        says(the_payment().reference, StandingState.REVERSED)
        states[row.reference] = word
        due_again()
        assert refund.refund_due() == 1
        due_again()
        assert refund.refund_due() == 0
        assert (Refund.objects.get().state, [verb for verb, _ in asked]) == ("withdrawn", ["refund", "look"])
        assert broken(cancelled.sale) == []

    @pytest.mark.parametrize(("listed", "doubt"), [(False, ""), (True, "reversed")])
    @pytest.mark.usefixtures("cancelled")
    def test_leaves_the_list_for_transfers_by_hand(self, listed: bool, doubt: str) -> None:
        Refund.objects.update(state="impossible", times=1)
        values = {"sealed": BankAccount.encrypt({"bank": "BCA", "number": "1", "holder": "Ani"})}
        now = timezone.now()
        BankAccount.objects.create(
            refund=Refund.objects.get(), given_at=now, listed_at=now if listed else None, **values
        )
        says(the_payment().reference, StandingState.REVERSED)
        assert (Refund.objects.get().state, the_payment().doubt) == ("withdrawn", doubt)

    def test_counts_again_when_its_money_comes_back(
        self, cancelled: Reservation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refunds_stand(monkeypatch, {})
        refund.refund_due()
        for state, paid in ((StandingState.REVERSED, 0), (StandingState.PAID, PRICE)):
            says(the_payment().reference, state, paid)
        # It has gone back once, and came once.
        assert (the_payment().state, the_payment().doubt, waits_for(the_payment())) == ("mismatch", "", [])
        assert broken(cancelled.sale) == []

    def test_is_noted_if_the_call_of_the_refund_was_under_way(
        self, cancelled: Reservation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def reversed_meanwhile(back: payments.RefundRequest) -> RefundStanding:
            await settle.settle(reference=back.attempt.reference, standing=Standing(StandingState.REVERSED))
            return RefundStanding("confirmed", "r-1")

        monkeypatch.setattr(payments.provider, "refund", reversed_meanwhile)
        refund.refund_due()
        row = Refund.objects.get()
        assert (row.state, row.astray_at is not None) == ("withdrawn", True)
        assert waits_for(the_payment()) == ["doubt-reversed"]
        assert broken(cancelled.sale) == []


class TestAnOldRefundThatIsConfirmedAfterAll:
    @pytest.fixture
    def states(self, cancelled: Reservation, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:  # noqa: ARG002
        """The old refund has failed. The provider's words can be changed."""
        old = Refund.objects.get()
        states = {old.reference: "failed"}
        self.asked = refunds_stand(monkeypatch, states)
        refund.refund_due()
        assert Refund.objects.get().state == "failed"
        return states

    def test_counts_before_a_new_one_is_made(self, states: dict[str, str]) -> None:
        old = Refund.objects.get()
        states[old.reference] = "confirmed"
        hinted()
        assert (Refund.objects.get().state, the_payment().payment_state) == ("confirmed", "refunded")

    def test_counts_in_place_of_the_new_one_that_is_not_sent_yet(
        self, states: dict[str, str], cancelled: Reservation
    ) -> None:
        old = Refund.objects.get()
        assert refund.refund_again(reservation=cancelled.pk)
        states[old.reference] = "confirmed"
        assert refund.refund_due() == 1
        assert list(Refund.objects.order_by("pk").values_list("state", flat=True)) == ["confirmed", "withdrawn"]
        assert [verb for verb, _ in self.asked].count("refund") == 1, "the new one must not be sent"
        assert (waits_for(the_payment()), broken(cancelled.sale)) == ([], [])

    def test_stands_on_the_list_if_the_new_one_is_on_its_way(
        self, states: dict[str, str], cancelled: Reservation
    ) -> None:
        old = Refund.objects.get()
        refund.refund_again(reservation=cancelled.pk)
        assert refund.refund_due() == 1
        states |= {old.reference: "confirmed", the_payment().refund_among(Refund.objects.all()).reference: "sent"}
        hinted()
        old.refresh_from_db()
        assert (old.state, old.astray_at is not None, the_payment().refund.state) == ("withdrawn", True, "sent")
        assert waits_for(the_payment()) == ["doubt-refund"]
        # It is told once. A person's word about it stands.
        assert stray_refunds.settle_doubt(attempt=the_payment().pk, by=None)
        hinted()
        assert (waits_for(the_payment()), broken(cancelled.sale)) == ([], [])

    @pytest.mark.parametrize("verb", ["waits", "done"])
    def test_stands_on_the_list_if_people_have_transferred_the_money(
        self, states: dict[str, str], cancelled: Reservation, dewi: User, verb: str
    ) -> None:
        old = Refund.objects.get()
        assert refund.send_by_hand(refund=old.pk, by=dewi)
        assert refund.transferred(refund=old.pk, reference="BCA-1", by=dewi)
        if verb == "done":
            assert refund.confirm_transfer(refund=old.pk, by=User.objects.create_user("agus"), arrived=True)
        before = Refund.objects.get().state
        states[old.reference] = "confirmed"
        hinted()
        assert (Refund.objects.get().state, waits_for(the_payment())) == (before, ["doubt-refund"])
        assert broken(cancelled.sale) == []

    def test_ends_a_transfer_that_is_on_no_list_yet(self, states: dict[str, str], dewi: User) -> None:
        old = Refund.objects.get()
        refund.send_by_hand(refund=old.pk, by=dewi)
        states[old.reference] = "confirmed"
        hinted()
        assert (Refund.objects.get().state, waits_for(the_payment())) == ("confirmed", [])


def test_two_failed_refunds_of_too_much_money_are_made_again_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sale, (ani, _) = called("ani", "budi")
    reference = paid_elsewhere(ani)
    states: dict[str, str] = {}
    asked = refunds_stand(monkeypatch, states)
    for paid in (PRICE + 500, PRICE + 1200):
        says(reference, StandingState.PAID, paid)
        states |= {row.reference: "failed" for row in Refund.objects.all()}
        refund.refund_due()
    order, states[reference] = Reservation.objects.get(), "sent"
    for failed in (1, 0):
        assert refund.refund_again(reservation=order.pk)
        assert Refund.objects.filter(state="failed").count() == failed
        assert failed == 0 or not refund.refund_again(reservation=order.pk)
        assert refund.refund_due() == 1
    assert not refund.refund_again(reservation=order.pk)
    assert sorted(int(row.amount) for row in Refund.objects.filter(state="sent")) == [500, 700]
    assert ([verb for verb, _ in asked].count("refund"), broken(sale)) == (4, [])


class TestAnotherCurrency:
    def held(self) -> str:
        _, (ani, _) = called("ani", "budi")
        held = ani.reserve().id
        pay(ani, held, instrument=payments.DEMO_LATER)
        return nth(held, 1)

    def test_of_a_mismatch_is_read_as_the_provider_says_it_now(self) -> None:
        reference = self.held()
        for paid, currency, kept in ((120, "USD", "USD"), (PRICE, "IDR", ""), (130, "USD", "USD")):
            says(reference, StandingState.PAID, paid, currency)
            attempt = the_payment()
            assert (int(attempt.paid or 0), attempt.paid_currency, waits_for(attempt)) == (paid, kept, ["mismatch"])
        assert refund.send_mismatch_back(reservation=the_payment().reservation_id)
        row = Refund.objects.get()
        assert (int(row.amount), row.currency) == (130, "USD")

    def test_does_not_change_the_currency_of_a_refund_and_is_for_people(self) -> None:
        reference = self.held()
        says(reference, StandingState.PAID, 120, "USD")
        refund.send_mismatch_back(reservation=the_payment().reservation_id)
        for _ in range(2):
            says(reference, StandingState.PAID, PRICE)
        attempt = the_payment()
        assert (int(attempt.paid or 0), attempt.paid_currency, waits_for(attempt)) == (120, "USD", ["doubt-currency"])
        assert (Refund.objects.count(), Refund.objects.get().currency) == (1, "USD")

    def test_of_a_paid_order_is_for_people_and_the_order_stands(self) -> None:
        _, (ani, _) = called("ani", "budi")
        reference = paid_elsewhere(ani)
        says(reference, StandingState.PAID, PRICE)
        says(reference, StandingState.PAID, 120, "USD")
        attempt = the_payment()
        assert (attempt.state, int(attempt.paid or 0), waits_for(attempt)) == ("paid", PRICE, ["doubt-currency"])
        assert Reservation.objects.get().state == "confirmed"


class TestAnAccountThatIsNotInTheSettingsAnyMore:
    @pytest.fixture
    def ani(self) -> Any:
        _, (ani, _) = called("ani", "budi")
        return ani

    def test_refuses_clearly_and_its_money_stands_on_the_list(self, ani: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        held = ani.reserve().id
        pay(ani, held, instrument=payments.DEMO_LATER)
        PaymentAttempt.objects.update(account="gone")
        PaymentAttempt.objects.update(next_look_at=timezone.now())
        before = PaymentAttempt.objects.values().get()
        for _ in range(2):
            assert refusal(pay, ani, held) is Outcome.PAYMENT_STUCK
        assert sweep_payments.work_off_all() == 0
        assert PaymentAttempt.objects.values().get() == before
        assert waits_for(the_payment()) == ["account-gone"]
        (check,) = check_accounts()
        assert (check.ok, "gone (1 payments" in check.found) == (False, True)
        # Once the account is back, all goes on by itself.
        monkeypatch.setattr(payments, "accounts", {**payments.accounts, "gone": payments.provider})
        assert (missing_accounts(), check_accounts(), waits_for(the_payment())) == ({}, [], ["pay"])
        payments.DemoProvider().pay(reference=the_payment().reference)
        assert sweep_payments.look_due() == 1
        assert Reservation.objects.get().state == "confirmed"

    def test_keeps_its_refunds_and_notifications_on_the_list(self, cancelled: Reservation) -> None:
        hash_of = Inbox.objects.create(
            account="gone", body=b"", headers={}, hash="1", seen_at=timezone.now(), next_look_at=timezone.now()
        )
        PaymentAttempt.objects.filter(reservation=cancelled).update(account="gone")
        assert (sweep_payments.work_off_all(), inbox.read_inbox(), refund.refund_due()) == (0, 0, 0)
        assert waits_for(Refund.objects.get()) == ["refund-account-gone"]
        assert waits_for(hash_of) == ["notice-account-gone"]
        assert missing_accounts() == {"gone": 2}


@pytest.mark.parametrize(
    ("accounts", "kind", "warned"),
    [
        ("partner", "own page", True),
        ("nothing", "own page", True),
        ("nothing", "partner", True),
        ("partner,demo", "own page", False),
        ("", "own page", False),
        ("partner", "partner", False),
    ],
)
def test_publishing_warns_when_no_buyer_of_a_channel_could_pay(accounts: str, kind: str, warned: bool) -> None:
    channel = {"code": "lazada", "name": "L", "kind": kind, "payment_accounts": accounts}
    sale = draft_sale(poco_campaign(channels=[channel]))
    with override("en"):
        found = [text for text in schedule.warnings_of(sale=sale) if "No buyer can pay" in text]
    assert [("lazada" in text, accounts in text) for text in found] == ([(True, True)] if warned else [])


def test_a_person_settles_a_doubt_in_the_admin() -> None:
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.create_superuser("root"))
    _, (ani, _) = called("ani", "budi")
    says(paid_elsewhere(ani), StandingState.PAID, PRICE)
    row = the_payment()
    PaymentAttempt.objects.update(doubt="second", doubt_at=timezone.now() - timedelta(hours=1))
    page = client.get(reverse("admin:flashsale_refund_waiting")).content.decode()
    assert row.reference in page
    url = reverse("admin:flashsale_paymentattempt_settle-doubt") + f"?id={row.pk}"
    assert messages_on(submit(client, url)) == ["Noted. The payment has left the list."]
    assert (the_payment().doubt, the_payment().doubt_at) == ("", None)
