"""Refunds have a date, wait for appeals only so long, may fail after success, and are sent by hand where need be."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import override

from flashsale.gate import bridge
from flashsale.life import appeal as appealing
from flashsale.life import cancel, inbox, refund, review, schedule, settle
from flashsale.life.waiting_money import ACTIONS, Who
from flashsale.models import Inbox, PaymentAttempt, Refund, Reservation, Sale
from flashsale.models.payment import new_reference
from flashsale.providers import payments
from flashsale.providers.payments import Method, RefundStanding
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import AttemptState, RefundState
from tests.admin.orders import buy
from tests.factories import PHONE, draft_sale, lobby_sale, poco_campaign, refusal
from tests.faults.steps import due_again, the_payment
from tests.life.refunds import by_buyer, says, waits_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
RING = "one_person_many_identities"
WEEK = timedelta(days=7)


@pytest.fixture
def staff(transactional_db: None) -> list[User]:
    return [User.objects.create_user(name) for name in ("dewi", "agus", "rina")]


@pytest.fixture
def sale(transactional_db: None, gate: Any) -> Sale:
    return lobby_sale(poco_campaign(appeal_s=3600), stock={PHONE: 3})


@pytest.fixture
def week(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider refunds QRIS for a week."""
    methods = (Method("qris", "qr", life_min=timedelta(0), guard=timedelta(0), refund_within=WEEK),)
    monkeypatch.setattr(payments.provider, "methods", lambda: methods)


def by_review(sale: Sale, staff: list[User]) -> Reservation:
    (order,) = buy(sale, ["ani"])
    case = review.open_case(reservation=order)
    review.propose(case=case, code=RING, by=staff[0])
    review.approve(case=case, by=staff[1])
    return Reservation.objects.select_related("case").get(pk=order.pk)


def hinted() -> None:
    """The provider sends a notification about the payment, and it is read."""
    reference = the_payment().reference
    body, headers = payments.DemoProvider().signed_notification(reference=reference)
    inbox.store(account="demo", references=[reference], body=body, headers=headers)
    inbox.read_inbox()


@pytest.mark.usefixtures("week")
def test_a_refund_is_possible_for_the_methods_window_from_the_start_of_the_payment(sale: Sale) -> None:
    by_buyer(sale)
    row = Refund.objects.get()
    assert (row.refund_by, row.waits) == (the_payment().made_at + WEEK, False)
    assert refund.refund_due() == 1


def test_a_method_without_a_window_refunds_for_ever(sale: Sale) -> None:
    by_buyer(sale)
    assert Refund.objects.get().refund_by is None


@pytest.mark.usefixtures("week")
class TestARefundThatWaitsForAnAppeal:
    @pytest.fixture
    def order(self, sale: Sale, staff: list[User]) -> Reservation:
        return by_review(sale, staff)

    def test_waits_with_a_date_a_day_before_the_window_ends(self, order: Reservation) -> None:
        row = Refund.objects.get()
        assert (row.waits, row.next_look_at) == (True, the_payment().made_at + WEEK - timedelta(days=1))
        assert (refund.refund_due(), waits_for(row)) == (0, ["appeal"])
        appealing.waive(case=order.case)
        assert (refund.refund_due(), Refund.objects.get().state) == (1, "confirmed")

    def test_becomes_a_decision_of_people_at_its_date(self, order: Reservation, staff: list[User]) -> None:
        appealing.appeal(case=order.case)
        due_again()
        row = Refund.objects.get()
        assert (refund.refund_due(), waits_for(row)) == (0, ["decide"])
        (action,) = [one for one in ACTIONS if one.name == "decide"]
        assert (action.who, action.until(row)) == (Who.REVIEWER, row.refund_by)
        assert refund.send_before_appeal(refund=row.pk, by=staff[2])
        assert not refund.send_before_appeal(refund=row.pk, by=staff[2])
        assert (refund.refund_due(), Refund.objects.get().state) == (1, "confirmed")
        order.refresh_from_db()
        assert order.limit_slots.count() == 2, "the appeal goes on"
        won = appealing.decide(appeal=order.case.appeal, overturned=True, by=staff[2])
        order.refresh_from_db()
        assert (won.remedy, order.state) == ("priority", "cancelled")

    def test_is_not_withdrawn_once_it_may_be_with_the_provider(self, order: Reservation, staff: list[User]) -> None:
        row = Refund.objects.get()
        refund.send_before_appeal(refund=row.pk, by=staff[2])
        won = appealing.decide(appeal=appealing.appeal(case=order.case), overturned=True, by=staff[2])
        assert (won.remedy, Refund.objects.get().state) == ("priority", "due")
        assert refund.refund_due() == 1

    def test_is_withdrawn_when_the_appeal_is_won_before(self, order: Reservation, staff: list[User]) -> None:
        won = appealing.decide(appeal=appealing.appeal(case=order.case), overturned=True, by=staff[2])
        row = Refund.objects.get()
        assert (won.remedy, row.state, row.waits, refund.refund_due()) == ("restored", "withdrawn", False, 0)


def test_publishing_warns_when_the_time_to_appeal_outlasts_the_window(week: None) -> None:
    short = draft_sale(poco_campaign(appeal_s=5 * 86_400))
    long = draft_sale(poco_campaign(appeal_s=7 * 86_400))
    assert schedule.warnings_of(sale=short) == []
    with override("en"):
        (warning,) = schedule.warnings_of(sale=long)
    assert "qris" in warning
    assert "7 days" in warning
    assert schedule.publish(sale=long).state == "published", "it is only a warning"


class TestWhatTheProviderSays:
    def test_sent_then_confirmed_by_the_second_notification(self, sale: Sale, monkeypatch: Any) -> None:
        by_buyer(sale)
        says(monkeypatch, "sent", "sent", "confirmed")
        assert (refund.refund_due(), Refund.objects.get().state) == (1, "sent")
        hinted()
        assert Refund.objects.get().state == "sent", "the first notification is about the request"
        hinted()
        row = Refund.objects.get()
        assert (row.state, row.next_look_at, the_payment().payment_state) == ("confirmed", None, "refunded")

    def test_sent_is_looked_at_hourly_without_a_notification(self, sale: Sale, monkeypatch: Any) -> None:
        by_buyer(sale)
        says(monkeypatch, "sent", "confirmed")
        refund.refund_due()
        row = Refund.objects.get()
        assert row.next_look_at
        assert timedelta(minutes=59) < row.next_look_at - timezone.now() <= timedelta(hours=1)
        due_again()
        assert (refund.refund_due(), Refund.objects.get().state) == (1, "confirmed")

    def test_failed_after_it_was_confirmed(self, sale: Sale, monkeypatch: Any, staff: list[User]) -> None:
        order = by_buyer(sale)
        asked = says(monkeypatch, "confirmed", "confirmed", "failed")
        refund.refund_due()
        hinted()
        assert Refund.objects.get().state == "confirmed"
        hinted()
        row = Refund.objects.get()
        assert (row.state, row.settled_at, row.detail, waits_for(row)) == ("failed", None, "why", ["failed"])
        # Before the new one is sent, the provider says that the old one has still failed.
        says(monkeypatch, "failed", "confirmed")
        assert refund.refund_again(reservation=order.pk, by=staff[0])
        assert not refund.refund_again(reservation=order.pk, by=staff[0])
        assert refund.refund_due() == 1
        old, new = Refund.objects.order_by("pk")
        assert (old.state, new.state, the_payment().refund) == ("withdrawn", "confirmed", new)
        assert new.reference not in asked, "the old reference would get the old answer"

    def test_a_refund_without_an_answer_is_looked_at_before_it_is_sent_again(
        self, sale: Sale, monkeypatch: Any
    ) -> None:
        by_buyer(sale)

        async def down(*_: Any) -> Any:
            raise payments.ProviderDown

        monkeypatch.setattr(payments.provider, "refund", down)
        refund.refund_due()

        async def sent(_back: payments.RefundRequest) -> RefundStanding:
            return RefundStanding("confirmed", "their-id")

        monkeypatch.setattr(payments.provider, "look_refund", sent)
        due_again()
        assert (refund.refund_due(), Refund.objects.get().state) == (1, "confirmed")


class TestATransferByHand:
    @pytest.fixture
    def row(self, sale: Sale, monkeypatch: pytest.MonkeyPatch) -> Refund:
        by_buyer(sale)
        says(monkeypatch, "impossible")
        refund.refund_due()
        return Refund.objects.get()

    def test_is_confirmed_by_a_second_person(self, row: Refund, staff: list[User]) -> None:
        assert (row.state, waits_for(row), the_payment().payment_state) == ("impossible", ["account"], "refund_due")
        due_again()
        assert refund.refund_due() == 0, "the provider is not asked again"
        assert refund.transferred(refund=row.pk, reference="BCA-1", by=staff[0])
        assert not refund.transferred(refund=row.pk, reference="BCA-2", by=staff[1])
        assert refusal(refund.confirm_transfer, refund=row.pk, by=staff[0], arrived=True) is Outcome.FORBIDDEN
        row.refresh_from_db()
        assert (row.state, row.provider_id, waits_for(row)) == ("transferred", "BCA-1", ["confirm-transfer"])
        assert refund.confirm_transfer(refund=row.pk, by=staff[1], arrived=True)
        assert not refund.confirm_transfer(refund=row.pk, by=staff[1], arrived=True)
        row.refresh_from_db()
        assert (row.state, row.transferred_by, row.confirmed_by) == ("confirmed", staff[0], staff[1])
        assert (waits_for(row), the_payment().payment_state) == ([], "refunded")

    def test_is_made_again_when_it_is_not_there(self, row: Refund, staff: list[User]) -> None:
        refund.transferred(refund=row.pk, reference="BCA-1", by=staff[0])
        assert refund.confirm_transfer(refund=row.pk, by=staff[1], arrived=False)
        row.refresh_from_db()
        assert (row.state, row.transferred_by, row.provider_id) == ("impossible", None, "")

    def test_the_table_refuses_one_person_who_does_both(self, row: Refund, staff: list[User]) -> None:
        refund.transferred(refund=row.pk, reference="BCA-1", by=staff[0])
        with pytest.raises(IntegrityError, match="two_people_transfer"), transaction.atomic():
            Refund.objects.update(
                state="confirmed", confirmed_by=staff[0], settled_at=timezone.now(), next_look_at=None
            )

    def test_may_follow_a_failed_refund(self, row: Refund, staff: list[User]) -> None:
        Refund.objects.update(state="failed")
        assert refund.send_by_hand(refund=row.pk, by=staff[0])
        assert not refund.send_by_hand(refund=row.pk, by=staff[0])
        assert Refund.objects.get().state == "impossible"


FINAL_ATTEMPTS = {AttemptState.PAID, AttemptState.LATE}
FINAL_REFUNDS = {RefundState.CONFIRMED, RefundState.WITHDRAWN}


class TestTheListOfAllMoneyThatWaits:
    @pytest.fixture
    def order(self, sale: Sale) -> Reservation:
        (order,) = buy(sale, ["ani"])
        return order

    @pytest.mark.parametrize("hours", [-30, -1, 1])
    @pytest.mark.parametrize("state", AttemptState)
    def test_has_every_attempt_that_is_not_final_once_with_a_date(
        self, order: Reservation, state: AttemptState, hours: int
    ) -> None:
        now = timezone.now()
        at = now + timedelta(hours=hours)
        PaymentAttempt.objects.all().delete()
        is_open = state in {AttemptState.ASKED, AttemptState.WAITING, AttemptState.REVIEW}
        money = state in {AttemptState.PAID, AttemptState.LATE, AttemptState.MISMATCH, AttemptState.REVERSED}
        row = PaymentAttempt.objects.create(
            reservation=order, number=9, reference=new_reference(9), account="demo", method="qris", amount=5,
            currency="IDR", state=state, made_at=now, expires_at=at, settled_at=None if is_open else now,
            paid=5 if money else None, next_look_at=None if state in FINAL_ATTEMPTS else at,
        )  # fmt: skip
        self._stands_on_it_once(row, is_final=state in FINAL_ATTEMPTS)

    @pytest.mark.usefixtures("order")
    @pytest.mark.parametrize("account", ["demo", "partner"])
    @pytest.mark.parametrize("state", RefundState)
    def test_has_every_refund_that_is_not_final_once_with_a_date(
        self, staff: list[User], state: RefundState, account: str
    ) -> None:
        now, is_final = timezone.now(), state in FINAL_REFUNDS
        PaymentAttempt.objects.update(account=account)
        for waits, times, days in [(True, 0, 0), (False, 0, 0), (False, 50, 0), (False, 0, 90)]:
            for ahead in (-1, 1):
                if waits and state != RefundState.DUE:
                    continue  # only a due refund waits
                row = Refund.objects.create(
                    attempt=the_payment(), reference=new_reference(1, kind="fr"), amount=5, why="cancelled",
                    state=state, waits=waits, times=times, made_at=now - timedelta(days=days), provider_id="id",
                    transferred_by=staff[0], next_look_at=None if is_final else now + timedelta(hours=ahead),
                    settled_at=now if is_final else None,
                )  # fmt: skip
                self._stands_on_it_once(row, is_final=is_final)
                row.delete()

    def test_has_a_notification_until_it_is_read(self, order: Reservation) -> None:
        reference = order.attempts.get().reference
        inbox.store(account="demo", references=[reference], body=b"", headers={})
        row = Inbox.objects.get()
        assert waits_for(row) == ["read"]
        inbox.read_inbox()
        assert waits_for(row) == []

    def test_has_a_payment_that_was_taken_back_until_its_order_is_cancelled(self, order: Reservation) -> None:
        taken = payments.Standing(payments.StandingState.REVERSED)
        bridge.run(settle.settle(reference=the_payment().reference, standing=taken))
        assert (waits_for(the_payment()), the_payment().next_look_at is not None) == (["reversed"], True)
        cancel.cancel(reservation=order.pk, channel=order.channel_id, code="payment_failed")
        assert waits_for(the_payment()) == []

    def _stands_on_it_once(self, row: Any, *, is_final: bool) -> None:
        found = waits_for(row)
        assert len(found) == (not is_final), found
        for action in ACTIONS:
            if action.name in found:
                assert action.until(row) is not None
