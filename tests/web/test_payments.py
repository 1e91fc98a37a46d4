"""Notifications of the payment provider: only a fresh signature is accepted, and one may come twice."""

import json
import time
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from jsonschema import Draft202012Validator

from flashsale.gate import bridge
from flashsale.life import inbox, settle
from flashsale.models import DemoCharge, Inbox, PaymentAttempt, Refund, Reservation, Sale, Unit
from flashsale.providers import payments
from flashsale.providers.payments import DEMO_LATER, Attempt, DemoProvider
from flashsale.web import limits
from flashsale.web.api.document import openapi
from flashsale.web.hot.http import BODY_BYTES_MAX
from simulation.management.commands import pay as pay_command
from tests.factories import Shopper
from tests.faults.steps import due_again, money_astray, paid_by, pay, the_payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
DOOR = "/v1/payments/demo"
BANK = DemoProvider()


@pytest.fixture
def reference(sale: Sale, held: dict[str, Any]) -> str:
    """The reference of a payment that waits for the bank's notification."""
    return paid_by(pay(Shopper(sale, "ani"), UUID(held["reservation"]), instrument=DEMO_LATER)).reference


def send(told: dict[str, Any], *, at: int | None = None, **changed: Any) -> Any:
    body, headers = BANK.sign(told, at=at)
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    return Client(headers=headers).post(DOOR, body, content_type="application/json")


def paid(about: str, **fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"reference": about, "amount": 1_799_000, "currency": "IDR", "paid": True}
    return values | fields


def rows() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values()) for model in (Reservation, PaymentAttempt, DemoCharge, Unit, Refund)
    ]


def settled(told: dict[str, Any], **changed: Any) -> str:
    """The state of the payment once the notification was read, as a web process does within a second."""
    reply = send(told, **changed)
    assert reply.status_code == 200, reply.content
    inbox.read_inbox()
    return str(PaymentAttempt.objects.get(reference=told["reference"]).payment_state)


def test_what_the_bank_has_signed_confirms_the_order_and_again_changes_nothing(reference: str) -> None:
    BANK.pay(reference=reference)
    reply = send(paid(reference))
    assert (reply.status_code, reply.json()) == (200, {"reference": reference, "state": "started"})
    assert settled(paid(reference)) == "paid"
    before = rows()
    assert settled(paid(reference)) == settled(paid(reference, paid=False)) == "paid"
    assert rows() == before
    assert Reservation.objects.get().state == "confirmed"
    assert money_astray() == []


@pytest.mark.parametrize("word", [{"amount": 1}, {"currency": "USD"}, {"paid": False}])
def test_what_a_notification_says_counts_for_nothing_because_the_bank_is_asked(
    reference: str, word: dict[str, Any]
) -> None:
    before = rows()
    assert settled(paid(reference, **word)) == settled(paid(reference)) == "started"
    assert rows()[:1] + rows()[2:] == before[:1] + before[2:]
    BANK.pay(reference=reference)
    assert settled(paid(reference, **word)) == "paid"
    assert money_astray() == []


def test_a_notification_is_stored_once_and_again_only_asks_again(reference: str) -> None:
    assert [settled(paid(reference)) for _ in range(3)] == ["started"] * 3
    row = Inbox.objects.get()
    assert (row.account, json.loads(row.as_it_came()[0]), row.result) == ("demo", paid(reference), "waiting")
    assert row.done_at is not None
    BANK.pay(reference=reference)
    assert settled(paid(reference)) == "paid"
    assert (Inbox.objects.get().result, inbox.read_inbox()) == ("paid", 0)


def test_a_notification_is_answered_at_once_whatever_the_bank_does(
    reference: str, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("the request must not wait for the provider")

    monkeypatch.setattr(payments.provider, "look", never)
    send(paid(reference))
    with django_assert_max_num_queries(12):
        replies = [send(paid(reference, amount=number)) for number in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert (Inbox.objects.filter(done_at=None).count(), the_payment().payment_state) == (3, "started")


def test_notifications_that_come_in_another_order_end_alike(reference: str) -> None:
    later, earlier = paid(reference), paid(reference, paid=False)
    send(later)
    BANK.pay(reference=reference)
    send(earlier)
    assert (inbox.read_inbox(), the_payment().payment_state) == (2, "paid")
    before = rows()
    assert (settled(earlier), settled(later), rows()) == ("paid", "paid", before)


def test_a_body_that_is_too_large_is_refused_and_not_stored(reference: str) -> None:
    body, headers = BANK.sign(paid(reference, more="x" * 200_000))
    reply = Client(headers=headers).post(DOOR, body, content_type="application/json")
    assert (reply.status_code, Inbox.objects.count(), the_payment().payment_state) == (413, 0, "started")


def test_a_notification_whose_effect_fails_is_answered_and_read_by_the_sweep(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> Any:
        raise OperationalError

    BANK.pay(reference=reference)
    with monkeypatch.context() as patch:
        patch.setattr(settle, "_decide", down)
        assert settled(paid(reference)) == "started"
    due_again()
    assert [inbox.read_inbox(), inbox.read_inbox()] == [1, 0]
    assert Reservation.objects.get().state == "confirmed"


def test_a_path_of_no_account_is_not_found_and_stores_nothing() -> None:
    body, headers = BANK.sign(paid("x"))
    reply = Client(headers=headers).post("/v1/payments/nothing", body, content_type="application/json")
    assert (reply.status_code, reply.json()["code"], Inbox.objects.count()) == (404, "not_found", 0)


def test_what_was_recorded_and_played_again_later_is_refused(reference: str) -> None:
    before = rows()
    for minutes in (-6, 6):
        reply = send(paid(reference), at=int(time.time()) + 60 * minutes)
        assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
    assert (rows(), the_payment().payment_state) == (before, "started")


@pytest.mark.parametrize(
    "changed",
    [
        {"Webhook_Id": "another"},
        {"Webhook_Timestamp": "x"},
        {"Webhook_Signature": "v1,AAAA"},
        {"Webhook_Signature": ""},
    ],
)
def test_what_the_bank_has_not_signed_is_refused(reference: str, changed: dict[str, Any]) -> None:
    reply = send(paid(reference), **changed)
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
    body, headers = BANK.sign(paid(reference, paid=False))
    forged = Client(headers=headers).post(DOOR, body.replace(b"false", b"true"), content_type="application/json")
    assert forged.status_code == 403
    assert (the_payment().payment_state, Reservation.objects.get().state) == ("started", "held")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"reference": "nothing"}, 404, "not_found"),
        ({"amount": "1799000"}, 400, "malformed"),
        ({"paid": "yes"}, 400, "malformed"),
    ],
)
def test_what_does_not_fit_its_reference_changes_nothing(
    reference: str, fields: dict[str, Any], status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "flashsale.web.api.payments"):
        reply = send(paid(reference, **fields))
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert (the_payment().payment_state, DemoCharge.objects.get().state) == ("started", "pending")
    lines = [record for record in caplog.records if record.name == "flashsale.web.api.payments"]
    assert (Inbox.objects.count(), len(lines)) == (0, 1)


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        (DOOR, {"amount": "1799000"}, 400),
        (DOOR, {"more": "x" * BODY_BYTES_MAX}, 413),
        (DOOR, {"reference": "nothing"}, 404),
        ("/v1/payments/nothing", {}, 404),
    ],
)
def test_what_is_refused_is_counted_and_a_true_notification_from_the_same_address_is_taken(
    reference: str, monkeypatch: pytest.MonkeyPatch, path: str, fields: dict[str, Any], status: int
) -> None:
    monkeypatch.setattr(limits, "API_ADDRESS", limits.Limit("refused", 2, limits.MINUTE))
    body, headers = BANK.sign(paid(reference, **fields))
    before = rows()
    sent = [Client(headers=headers).post(path, body, content_type="application/json").status_code for _ in range(4)]
    assert (sent, rows(), Inbox.objects.count()) == ([status, status, 429, 429], before, 0)
    BANK.pay(reference=reference)
    assert [settled(paid(reference)) for _ in range(4)] == ["paid"] * 4


@pytest.mark.usefixtures("stopped_clock")
def test_guesses_are_counted_and_what_the_bank_signed_never_waits_behind_them(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "API_ADDRESS", limits.Limit("guesses", 2, limits.MINUTE))
    guesses = [send(paid(reference), Webhook_Signature="v1,AAAA").status_code for _ in range(4)]
    assert guesses == [403, 403, 429, 429]
    BANK.pay(reference=reference)
    assert settled(paid(reference)) == "paid"


def test_books_that_do_not_answer_are_told_as_unknown_with_a_time_to_come_again(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> Any:
        raise OperationalError

    BANK.pay(reference=reference)
    with monkeypatch.context() as patch:
        patch.setattr("flashsale.life.inbox.Inbox.objects.bulk_create", down)
        reply = send(paid(reference))
        assert (reply.status_code, reply.json()["code"], reply["Retry-After"]) == (503, "unknown", "2")
    assert settled(paid(reference)) == "paid"


def test_its_shape_stands_in_the_document_and_its_answer_fits(reference: str) -> None:
    document = json.loads(openapi())
    operation = document["paths"][DOOR]["post"]
    named = {parameter["name"] for parameter in operation["parameters"]}
    assert named == {"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"] | document
    Draft202012Validator(schema).validate(send(paid(reference)).json())


def test_the_demos_bank_pays_and_calls_back_over_http(
    reference: str, live_server: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pay_command, "SETTLED_S_MAX", 0.0)
    for state in ("started", "paid"):
        call_command("pay", reference, url=live_server.url)
        assert json.loads(capsys.readouterr().out) == {"reference": reference, "state": state}
        inbox.read_inbox()
    assert Reservation.objects.get().state == "confirmed"
    with pytest.raises(CommandError, match="There is no payment"):
        call_command("pay", "nothing", url=live_server.url)


def test_the_demos_bank_takes_nothing_for_a_hold_that_has_ended(reference: str) -> None:
    bridge.run(BANK.close(Attempt(reference, 1_799_000, "IDR", "qris")))
    with pytest.raises(CommandError, match="its time limit is over"):
        call_command("pay", reference)
    assert DemoCharge.objects.get().state == "declined"
