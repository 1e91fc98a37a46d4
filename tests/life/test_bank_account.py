"""A buyer whose money no provider can send back gives a bank account, which is kept while the transfer needs it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import override_settings
from django.utils import timezone

from flashsale.books import letters as letter_rows
from flashsale.gate import bridge
from flashsale.life import (
    bank_account,
    cancel,
    erase,
    notify,
    refund,
    retention,
    sale_control,
    settle,
    sweep_payments,
)
from flashsale.life.next_look import LATE_FOR
from flashsale.life.waiting_money import ACTIONS, NO_ANSWER, Who
from flashsale.models import BankAccount, Channel, Contact, Notice, PaymentAttempt, Record, Refund, Sale
from flashsale.providers import payments
from flashsale.providers.payments import Standing, StandingState
from flashsale.rules.bank_accounts import Account
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import UNPAID_REFUNDS
from tests.factories import PHONE, lobby_sale, poco_campaign
from tests.faults.steps import Died, called, dies, end, pay, the_payment
from tests.life.refunds import by_buyer, says, waits_for
from tests.privacy.canary import in_books

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
ANI = Account("BCA", "5471190033", "Ani Wijaya")
AGO = timedelta(seconds=1)


@pytest.fixture
def staff(transactional_db: None) -> list[User]:
    return [User.objects.create_user(name) for name in ("dewi", "agus")]


@pytest.fixture
def sale(transactional_db: None) -> Sale:
    return lobby_sale(poco_campaign(), stock={PHONE: 3})


@pytest.fixture
def owed(sale: Sale, monkeypatch: pytest.MonkeyPatch) -> Refund:
    """A refund that its provider can never send."""
    by_buyer(sale)
    says(monkeypatch, "impossible")
    assert refund.refund_due() == 1
    return Refund.objects.get()


def letter() -> Any:
    """Sends what is due; returns the letter that asks for an account."""
    mail.outbox.clear()
    notify.send_due()
    (found,) = [one for one in mail.outbox if one.extra_headers["Message-ID"].startswith("<bank_account-")]
    return found


def asked() -> list[tuple[str, str]]:
    return list(Notice.objects.filter(kind="bank_account").order_by("pk").values_list("about", "state"))


def confirmed(row: Refund, staff: list[User]) -> None:
    assert refund.transferred(refund=row.pk, reference="BCA-1", by=staff[0])
    assert refund.confirm_transfer(refund=row.pk, by=staff[1], arrived=True)


class TestTheLetter:
    def test_is_due_in_the_transaction_that_makes_the_refund_impossible(
        self, sale: Sale, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        by_buyer(sale)
        says(monkeypatch, "impossible")
        with monkeypatch.context() as patch:
            patch.setattr(letter_rows, "insert", dies)
            with pytest.raises(Died):
                refund.refund_due()
        assert (Refund.objects.get().state, asked()) == ("due", [])
        Refund.objects.update(next_look_at=timezone.now())
        refund.refund_due()
        row = Refund.objects.get()
        assert (row.state, asked()) == ("impossible", [(row.reference, "due")])

    def test_is_due_when_a_person_gives_the_provider_up(
        self, sale: Sale, staff: list[User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        by_buyer(sale)
        says(monkeypatch, "failed")
        refund.refund_due()
        row = Refund.objects.get()
        assert asked() == []
        assert refund.send_by_hand(refund=row.pk, by=staff[0])
        assert not refund.send_by_hand(refund=row.pk, by=staff[0])
        assert asked() == [(row.reference, "due")]

    def test_goes_to_a_buyer_whose_partner_writes_all_other_letters(self, owed: Refund) -> None:
        assert not owed.attempt.reservation.channel.order_letters
        found = letter()
        assert found.to == ["ani@example.com"]
        assert found.subject == "Ke mana uang Anda dapat kami kirim? Rp\xa01.799.000"
        assert "Kami berutang Rp\xa01.799.000 kepada Anda." in found.body
        assert "http://127.0.0.1:8000/bank-account#fs1." in found.body
        assert asked() == [(owed.reference, "sent")]

    def test_is_dropped_when_the_transfer_was_made_before_it_went_out(self, owed: Refund, staff: list[User]) -> None:
        refund.transferred(refund=owed.pk, reference="BCA-1", by=staff[0])
        notify.send_due()
        assert asked() == [(owed.reference, "dropped")]
        assert "bank-account" not in "".join(str(one.body) for one in mail.outbox)


class TestTheAccount:
    def test_is_stored_encrypted_and_read_by_nobody_without_the_key(self, owed: Refund) -> None:
        assert bank_account.give(refund=owed.pk, account=ANI)
        row = BankAccount.objects.get()
        assert bank_account.read(row) == ANI
        stored = in_books()
        assert [part for part in (b"5471190033", b"Ani Wijaya") if part in stored] == []
        with override_settings(FLASHSALE_CONTACT_KEY=b"x" * 32):
            assert bank_account.read(row) is None

    def test_given_twice_is_stored_once(self, owed: Refund) -> None:
        assert bank_account.give(refund=owed.pk, account=ANI)
        before = BankAccount.objects.values().get(), Refund.objects.values().get(), Record.objects.count()
        assert bank_account.give(refund=owed.pk, account=ANI)
        assert (BankAccount.objects.values().get(), Refund.objects.values().get(), Record.objects.count()) == before
        other = Account("BNI", "0012345678", "Ani Wijaya")
        assert bank_account.give(refund=owed.pk, account=other)
        assert bank_account.read(BankAccount.objects.get()) == other
        facts = Record.objects.filter(what="give_account").order_by("position").values_list("who", "facts")
        assert list(facts) == [
            ("buyer", f'{{"again":{again},"refund":"{owed.reference}"}}') for again in (0, 1)
        ]  # fmt: skip

    def test_cannot_change_once_the_transfer_is_made_and_can_again_when_it_did_not_arrive(
        self, owed: Refund, staff: list[User]
    ) -> None:
        bank_account.give(refund=owed.pk, account=ANI)
        refund.transferred(refund=owed.pk, reference="BCA-1", by=staff[0])
        made_at = Refund.objects.get().transferred_at
        assert made_at
        before = BankAccount.objects.values().get(), Record.objects.count()
        assert not bank_account.give(refund=owed.pk, account=Account("BNI", "0012345678", "Ani"))
        assert (BankAccount.objects.values().get(), Record.objects.count()) == before
        refund.confirm_transfer(refund=owed.pk, by=staff[1], arrived=False)
        assert Refund.objects.get().transferred_at is None
        assert bank_account.give(refund=owed.pk, account=Account("BNI", "0012345678", "Ani"))
        confirmed(owed, staff)
        assert not bank_account.give(refund=owed.pk, account=ANI)

    def test_of_a_refund_that_the_provider_may_still_send_is_not_taken(self, sale: Sale) -> None:
        by_buyer(sale)
        assert not bank_account.give(refund=Refund.objects.get().pk, account=ANI)
        assert not BankAccount.objects.exists()

    def test_is_deleted_thirty_days_after_the_transfer_is_confirmed(self, owed: Refund, staff: list[User]) -> None:
        bank_account.give(refund=owed.pk, account=ANI)
        confirmed(owed, staff)
        Refund.objects.update(settled_at=timezone.now() - bank_account.KEPT + timedelta(minutes=1))
        assert (retention.forget_due(), BankAccount.objects.count()) == (0, 1)
        Refund.objects.update(settled_at=timezone.now() - bank_account.KEPT - AGO)
        assert (retention.forget_due(), BankAccount.objects.count()) == (1, 0)
        assert Refund.objects.get().state == "confirmed"

    def test_is_kept_while_the_transfer_is_not_confirmed(self, owed: Refund, staff: list[User]) -> None:
        bank_account.give(refund=owed.pk, account=ANI)
        BankAccount.objects.update(given_at=timezone.now() - timedelta(days=400))
        refund.transferred(refund=owed.pk, reference="BCA-1", by=staff[0])
        assert (retention.forget_due(), BankAccount.objects.count()) == (0, 1)

    def test_is_erased_with_the_people_of_its_campaign(self, owed: Refund, sale: Sale) -> None:
        bank_account.give(refund=owed.pk, account=ANI)
        rows = erase.personal_rows(sale.campaign)["bank accounts"]
        assert [row.refund for row in rows] == [owed]
        assert rows.model is BankAccount
        assert "1 payments are not settled" in erase.obstacles(campaign=sale.campaign)
        other = lobby_sale(poco_campaign())
        assert not erase.personal_rows(other.campaign)["bank accounts"].exists()


@pytest.mark.parametrize("state", UNPAID_REFUNDS)
def test_contact_data_stays_until_the_money_is_settled(sale: Sale, staff: list[User], state: str) -> None:
    by_buyer(sale)
    who = {"transferred_by": staff[0], "provider_id": "BCA-1"} if state == "transferred" else {}
    Refund.objects.update(state=state, **who)
    Contact.objects.update(keep_until=timezone.now() - AGO)
    assert (retention.forget_due(), Contact.objects.count()) == (0, 1)
    Refund.objects.update(state="confirmed", settled_at=timezone.now(), next_look_at=None)
    assert (retention.forget_due(), Contact.objects.count()) == (1, 0)


class TestTheList:
    def test_has_the_refunds_with_an_account_and_the_trail_says_who_made_it(
        self, owed: Refund, staff: list[User]
    ) -> None:
        assert bank_account.list_transfers(by=staff[0]) == []
        bank_account.give(refund=owed.pk, account=ANI)
        assert BankAccount.objects.get().listed_at is None
        expected = [(owed.reference, "BCA", "5471190033", "Ani Wijaya", "1799000", "IDR")]
        assert bank_account.list_transfers(by=staff[1]) == expected
        assert BankAccount.objects.get().listed_at
        records = Record.objects.filter(what="list_transfers").order_by("position").values_list("who", "facts")
        assert list(records) == [
            (f"staff:{staff[0].pk}", '{"transfers":0,"unreadable":0}'),
            (f"staff:{staff[1].pk}", '{"transfers":1,"unreadable":0}'),
        ]
        bank_account.give(refund=owed.pk, account=Account("BNI", "0012345678", "Ani"))
        assert BankAccount.objects.get().listed_at is None, "it is on no list as it is now"
        refund.transferred(refund=owed.pk, reference="BCA-1", by=staff[0])
        assert bank_account.list_transfers(by=staff[0]) == []

    def test_is_not_returned_without_its_record(
        self, owed: Refund, staff: list[User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank_account.give(refund=owed.pk, account=ANI)
        with monkeypatch.context() as patch:
            patch.setattr(Record, "write", dies)
            with pytest.raises(Died):
                bank_account.list_transfers(by=staff[0])
        assert BankAccount.objects.get().listed_at is None

    def test_leaves_out_what_this_servers_key_cannot_read(self, owed: Refund, staff: list[User]) -> None:
        bank_account.give(refund=owed.pk, account=ANI)
        with override_settings(FLASHSALE_CONTACT_KEY=b"x" * 32):
            assert bank_account.list_transfers(by=staff[0]) == []
        record = Record.objects.get(what="list_transfers")
        assert (record.facts, BankAccount.objects.get().listed_at) == ('{"transfers":0,"unreadable":1}', None)

    def test_names_the_currency_that_came(self, owed: Refund, staff: list[User]) -> None:
        Refund.objects.update(amount=Decimal("90.5"), sent_currency="USD")
        bank_account.give(refund=owed.pk, account=ANI)
        assert bank_account.list_transfers(by=staff[0])[0][-2:] == ("90.50", "USD")


def test_a_refund_waits_for_the_buyer_then_for_the_transfer_and_after_a_week_for_people(
    owed: Refund, staff: list[User]
) -> None:
    assert waits_for(owed) == ["account"]
    (action,) = [one for one in ACTIONS if one.name == "account"]
    assert (action.who, action.until(owed)) == (Who.BUYER, owed.next_look_at + NO_ANSWER)
    Refund.objects.update(next_look_at=timezone.now() - NO_ANSWER)
    assert waits_for(owed) == ["no-account"]
    bank_account.give(refund=owed.pk, account=ANI)
    assert waits_for(owed) == ["transfer"]
    owed.refresh_from_db()
    assert owed.next_look_at
    assert timedelta(hours=23) < owed.next_look_at - timezone.now() <= timedelta(days=1)
    refund.transferred(refund=owed.pk, reference="BCA-1", by=staff[0])
    assert waits_for(owed) == ["confirm-transfer"]


def test_a_transfer_that_the_bank_sends_back_asks_its_buyer_again(owed: Refund, staff: list[User]) -> None:
    letter()
    bank_account.give(refund=owed.pk, account=ANI)
    bank_account.list_transfers(by=staff[0])
    confirmed(owed, staff)
    with pytest.raises(Refused) as refused:
        refund.confirm_transfer(refund=owed.pk, by=staff[0], arrived=False)
    assert (refused.value.outcome, Refund.objects.get().state) == (Outcome.FORBIDDEN, "confirmed")
    assert not refund.confirm_transfer(refund=owed.pk, by=staff[1], arrived=True)
    assert refund.confirm_transfer(refund=owed.pk, by=staff[1], arrived=False)
    assert not refund.confirm_transfer(refund=owed.pk, by=staff[1], arrived=False)
    row = Refund.objects.get()
    assert (row.state, row.provider_id, row.transferred_by, row.confirmed_by, row.settled_at) == (
        "impossible", "", None, None, None,
    )  # fmt: skip
    assert waits_for(row) == ["transfer"]
    assert letter().to == ["ani@example.com"]
    bank_account.give(refund=owed.pk, account=replace(ANI, number="5471190034"))
    assert [one.number for one in bank_account.list_transfers(by=staff[0])] == ["5471190034"]
    confirmed(row, staff)
    assert Refund.objects.get().state == "confirmed"


def test_a_refund_that_the_provider_has_confirmed_is_no_transfer(sale: Sale, staff: list[User]) -> None:
    by_buyer(sale)
    assert refund.refund_due() == 1
    row = Refund.objects.get()
    assert row.state == "confirmed"
    assert not refund.confirm_transfer(refund=row.pk, by=staff[1], arrived=False)
    assert Refund.objects.get() == row


class TestMoneyThatComesAfterTheEndOfThePayment:
    """and that no provider sends back: we still know the buyer, so the letter arrives."""

    def _unpaid(self, *, letters: bool) -> tuple[Sale, str]:
        sale, (ani, _) = called("ani", "budi")
        Channel.objects.update(order_letters=letters)
        row = pay(ani, ani.reserve().id, instrument=payments.DEMO_LATER)
        end(sale)
        sweep_payments.settle_ended_holds()
        Notice.objects.update(due_at=timezone.now())
        notify.send_due()
        retention.forget_due()
        assert the_payment(row.pk).state == "closed"
        return sale, the_payment(row.pk).reference

    @pytest.mark.parametrize("letters", [True, False])
    def test_finds_its_buyer(self, monkeypatch: pytest.MonkeyPatch, letters: bool) -> None:
        sale, reference = self._unpaid(letters=letters)
        assert "payments are not settled" in " ".join(erase.obstacles(campaign=sale.campaign))
        sale_control.call_off(sale=sale, message="No stock.")
        paid = Standing(StandingState.PAID, "", Decimal(1_799_000), "IDR")
        for _ in range(2):
            bridge.run(settle.settle(reference=reference, standing=paid))
        says(monkeypatch, "impossible")
        assert [refund.refund_due(), refund.refund_due()] == [1, 0]
        retention.forget_due()
        assert letter().to == ["ani@example.com"]
        retention.forget_due()
        assert (Contact.objects.count(), asked()) == (1, [(Refund.objects.get().reference, "sent")])

    def test_is_waited_for_a_day_and_no_longer(self) -> None:
        sale, _ = self._unpaid(letters=False)
        ended = timezone.now() - LATE_FOR
        PaymentAttempt.objects.update(settled_at=ended + timedelta(minutes=1))
        retention.forget_due()
        assert Contact.objects.count() == 1
        PaymentAttempt.objects.update(settled_at=ended)
        retention.forget_due()
        assert Contact.objects.count() == 0
        assert "payments are not settled" not in " ".join(erase.obstacles(campaign=sale.campaign))


@pytest.mark.parametrize("doubt", ["", "second"])
def test_undecided_money_keeps_its_buyer_although_too_much_of_it_went_back(doubt: str) -> None:
    """Three places asked this in three ways: the list of people, the contacts, and the erasure."""
    _, (ani, _) = called("ani", "budi")
    row = pay(ani, ani.reserve().id, instrument=payments.DEMO_LATER)
    reference, standing = the_payment(row.pk).reference, partial(Standing, StandingState.PAID, "", currency="IDR")
    bridge.run(settle.settle(reference=reference, standing=standing(paid=Decimal(1_900_000))))
    cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    bridge.run(settle.settle(reference=reference, standing=Standing(StandingState.REVERSED)))
    bridge.run(settle.settle(reference=reference, standing=standing(paid=Decimal(1_900_000))))
    now = timezone.now()
    over = {"why": "overpaid", "state": "confirmed", "settled_at": now, "next_look_at": None}
    Refund.objects.filter(why="overpaid").update(**over)
    PaymentAttempt.objects.update(doubt=doubt, doubt_at=now if doubt else None)
    attempt = the_payment(row.pk)
    assert (attempt.state, waits_for(attempt)) == ("mismatch", ["doubt-second" if doubt else "mismatch"])
    Contact.objects.update(keep_until=now - AGO)
    Notice.objects.update(state="dropped")
    retention.forget_due()
    assert Contact.objects.count() == 1
    assert "1 payments are not settled" in erase.obstacles(campaign=attempt.reservation.sale.campaign)
