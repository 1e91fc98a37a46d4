"""The process dies in the middle of a letter, a code or a bank account: none is lost, and no code goes out blindly."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from flashsale.gate import bridge, code_queue
from flashsale.gate.keys import CODES_WAITING, codes_queue_key
from flashsale.life import bank_account, notify, review, sealed_links, send_codes
from flashsale.models import BankAccount, Cancellation, Notice, Record, Refund, Reservation
from flashsale.providers import messages
from flashsale.rules.bank_accounts import Account
from flashsale.rules.identity import Axis
from simulation.gateways.messages import MessageGateways
from tests.admin.orders import buy
from tests.factories import lobby_sale, poco_campaign
from tests.faults.steps import broken, dies_at
from tests.life.refunds import by_buyer
from tests.mail_server import MailServer, mail_server
from tests.sent_codes import wait_for_codes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
NONCE = bytes(range(16))


class TestDyingWhileALetterIsSent:
    @pytest.fixture
    def mails(self, settings: Settings) -> Iterator[MailServer]:
        with mail_server(settings) as server:
            yield server

    @pytest.fixture
    def notice(self, gate: Any, transactional_db: None) -> Notice:  # noqa: ARG002
        """The letter about a cancellation. It was written in the transaction that cancelled the order."""
        (order,) = buy(lobby_sale(poco_campaign(appeal_s=3600)), ["ani"])
        one, two = (User.objects.create_user(name) for name in ("one", "two"))
        review.propose(case=review.open_case(reservation=order), code="one_person_many_identities", by=one)
        review.approve(case=order.case, by=two)
        return Notice.objects.get(kind="cancelled")

    @pytest.mark.parametrize(("point", "copies"), [("locked", 1), ("accepted", 2)])
    def test_sends_it_once_or_twice_with_one_message_id_and_never_not_at_all(
        self, mails: MailServer, notice: Notice, monkeypatch: pytest.MonkeyPatch, point: str, copies: int
    ) -> None:
        if point == "locked":
            dies_at(monkeypatch, "letter: locked", notify.send_due)
        else:
            dies_at(monkeypatch, "letter: accepted", notify.send_due)
        notice.refresh_from_db()
        assert (notice.state, notice.attempts, len(mails.letters)) == ("due", 0, copies - 1)
        assert Cancellation.objects.get().appeal_until is None
        assert [notify.send_due(), notify.send_due()] == [1, 0]
        notice.refresh_from_db()
        assert (notice.state, notice.attempts) == ("sent", 1)
        assert Cancellation.objects.get().appeal_until is not None
        assert [len(mails.letters), len({letter["Message-ID"] for letter in mails.letters})] == [copies, 1]
        assert broken(Reservation.objects.get().sale) == []


class TestDyingWhileACodeIsSent:
    @pytest.fixture
    def gateways(self, settings: Settings, gate: Any) -> Iterator[MessageGateways]:  # noqa: ARG002
        """WhatsApp, then SMS; no report comes by itself."""
        with MessageGateways(report=lambda *_: None) as found:
            keys = found.keys
            settings.FLASHSALE_CODE_SENDER = ["whatsapp", "sms"]
            settings.FLASHSALE_URL = "https://shop.example"
            settings.FLASHSALE_WHATSAPP_URL = f"{found.url}/v24.0/{keys.phone_number_id}/messages"
            settings.FLASHSALE_WHATSAPP_TOKEN, settings.FLASHSALE_WHATSAPP_TEMPLATE = keys.bearer, keys.template
            settings.FLASHSALE_WHATSAPP_SECRET = keys.app_secret
            settings.FLASHSALE_WHATSAPP_PACE = 1000
            settings.FLASHSALE_SMS_URL = f"{found.url}/2010-04-01/Accounts/{keys.account}/Messages.json"
            settings.FLASHSALE_SMS_FORM = "To={to}&From=SHOP&Body={text}&StatusCallback={report}"
            settings.FLASHSALE_SMS_USER, settings.FLASHSALE_SMS_PASSWORD = keys.account, keys.auth_token
            settings.FLASHSALE_SMS_ID, settings.FLASHSALE_SMS_REPORTS = "sid", "twilio"
            found.behave("whatsapp", "never")
            found.behave("twilio", "never")
            yield found

    def accept(self) -> None:
        given: Any = {"nonce": NONCE, "axis": Axis.PHONE, "to": "+6281234560000", "sale": "S", "language": "id"}
        bridge.run(send_codes.accept(**given))

    def take(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The code is queued, and this process takes it from the queue."""
        with monkeypatch.context() as patch:
            patch.setattr(send_codes, "_start", lambda work: work.close())
            self.accept()
        assert bridge.run(code_queue.take("whatsapp", most=1, lease_ms=20_000)) == [NONCE.hex()]

    def send(self) -> Any:
        return bridge.run(send_codes._try_to_send(messages.SENDERS["whatsapp"], NONCE.hex()))

    def lease_ends(self, gate: Any) -> None:
        gate.zincrby(codes_queue_key("whatsapp"), -20_000, NONCE.hex())
        self.tick()

    def thirty_seconds_pass(self, gate: Any) -> None:
        gate.zincrby(CODES_WAITING, -send_codes.FALLBACK_MS, NONCE.hex())
        self.tick()

    def tick(self) -> None:
        for _ in range(2):
            bridge.run(send_codes.send_all_due())
            wait_for_codes()

    def state(self) -> tuple[str, str]:
        found = bridge.run(send_codes.standing(nonce=NONCE))
        assert found is not None
        return found.state, found.sender

    def calls(self, gateways: MessageGateways) -> list[str]:
        return [call.gateway for call in gateways.calls]

    def test_that_is_queued_sends_it_by_another_process(
        self, gateways: MessageGateways, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dies_at(monkeypatch, "code: queued", self.accept)
        assert (self.state(), self.calls(gateways)) == (("waiting", "whatsapp"), [])
        self.tick()
        assert (self.state(), self.calls(gateways)) == (("sent", "whatsapp"), ["whatsapp"])

    def test_before_the_call_sends_it_once_after_the_lease(
        self, gateways: MessageGateways, gate: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.take(monkeypatch)
        dies_at(monkeypatch, "code: tried", self.send)
        self.tick()
        assert self.calls(gateways) == []
        self.lease_ends(gate)
        assert (self.state(), self.calls(gateways)) == (("sent", "whatsapp"), ["whatsapp"])

    def test_after_the_call_never_sends_it_again_by_this_sender_and_goes_on_to_the_next(
        self, gateways: MessageGateways, gate: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.take(monkeypatch)
        dies_at(monkeypatch, "code: taken", self.send)
        assert (self.state(), self.calls(gateways)) == (("waiting", "whatsapp"), ["whatsapp"])
        self.lease_ends(gate)
        self.tick()
        assert (self.state(), self.calls(gateways)) == (("unanswered", "whatsapp"), ["whatsapp"])
        self.thirty_seconds_pass(gate)
        self.thirty_seconds_pass(gate)
        assert (self.state(), self.calls(gateways)) == (("sent", "sms"), ["whatsapp", "twilio"])
        digits = {found for message in gateways.taken for found in re.findall(r"\b\d{6}\b", message.text)}
        assert len(digits) == 1, "both have the same digits"

    def test_before_the_reference_is_noted_goes_on_to_the_next_sender(
        self, gateways: MessageGateways, gate: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.take(monkeypatch)
        dies_at(monkeypatch, "code: sent", self.send)
        self.tick()
        assert (self.state(), self.calls(gateways)) == (("sent", "whatsapp"), ["whatsapp"])
        self.thirty_seconds_pass(gate)
        assert (self.state(), self.calls(gateways)) == (("sent", "sms"), ["whatsapp", "twilio"])


class TestDyingWhileABankAccountIsKept:
    @pytest.fixture
    def owed(self, gate: Any, transactional_db: None) -> Refund:  # noqa: ARG002
        by_buyer(lobby_sale())
        Refund.objects.update(state="impossible", next_look_at=timezone.now())
        return Refund.objects.get()

    def test_keeps_it_and_the_same_request_again_changes_nothing(
        self, owed: Refund, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, page = Client(), "/bank-account"
        client.post(page, {"link": sealed_links.path(sealed_links.Kind.BANK_ACCOUNT, owed.pk)}, follow=True)
        typed = {"bank": "BCA", "number": "5471190033", "holder": "Ani Wijaya", "refund": owed.reference}
        dies_at(monkeypatch, "bank account: given", lambda: client.post(page, typed))
        before = BankAccount.objects.values().get()
        assert client.post(page, typed).status_code == 302
        assert (BankAccount.objects.values().get(), Record.objects.filter(what="give_account").count()) == (before, 1)
        assert list(bank_account.to_transfer()) == [owed]

    def test_makes_the_same_list_for_transfers_again(self, owed: Refund, monkeypatch: pytest.MonkeyPatch) -> None:
        bank_account.give(refund=owed.pk, account=Account("BCA", "5471190033", "Ani Wijaya"))
        client = Client()
        client.force_login(User.objects.create_superuser("root"))
        make: Any = lambda: client.post(reverse("admin:flashsale_refund_transfers"))  # noqa: E731
        dies_at(monkeypatch, "bank account: listed", make)
        assert (Record.objects.filter(what="list_transfers").count(), Refund.objects.get().state) == (1, "impossible")
        lines = b"".join(make().streaming_content).decode().splitlines()
        assert [line.partition(",")[0] for line in lines[1:]] == [owed.reference]
        assert Record.objects.filter(what="list_transfers").count() == 2
