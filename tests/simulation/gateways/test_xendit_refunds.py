"""The simulated Xendit refunds as its documents say."""

from datetime import timedelta
from typing import Any

import pytest

from simulation.gateways.client import Gateway, Sums
from simulation.gateways.faults import Fault
from tests.gateways import AMOUNT, START, Answer, call, paid_request, request_id, shop_server, xendit_error

DAY = timedelta(days=1)
BANKS = ["BCA", "BNI", "BRI", "MANDIRI", "BSI", "PERMATA"]
REFUNDABLE_APPS = ["DANA", "SHOPEEPAY", "OVO", "GOPAY", "CIMB", "PERMATA", "JENIUS", "BSI"]


def refund(xendit: Gateway, name: str, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    body = {"payment_request_id": name, "reference_id": "r-1", "currency": "IDR", "reason": "CANCELLATION", **more}
    return call(xendit, "POST", "/refunds", body, headers=headers)


@pytest.fixture(autouse=True)
def _frozen(xendit: Gateway) -> None:
    xendit.control.freeze(START)


def test_a_refund_is_pending_until_the_bank_says(xendit: Gateway) -> None:
    name = paid_request(xendit)
    answer = refund(xendit, name, amount=AMOUNT)
    wanted = (200, "PENDING", AMOUNT, "CANCELLATION", "r-1", None)
    names = ("status", "amount", "reason", "reference_id", "failure_code")
    assert (answer.status, *(answer.body[name] for name in names)) == wanted
    assert xendit.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}
    assert xendit_error(refund(xendit, name, amount=1)) == (409, "REFUND_IN_PROGRESS")
    xendit.control.advance(timedelta(minutes=1))
    assert call(xendit, "GET", f"/refunds/{answer.body['id']}").body["status"] == "SUCCEEDED"
    listed = call(xendit, "GET", f"/refunds?payment_request_id={name}").body["data"]
    assert [row["id"] for row in listed] == [answer.body["id"]]
    assert xendit.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}
    assert xendit_error(refund(xendit, name)) == (400, "REFUND_AMOUNT_EXCEEDED")


def test_the_webhook_of_a_refund_has_data_in_data_and_its_amount_as_a_string(xendit: Gateway) -> None:
    with shop_server() as shop:
        xendit.control.notify(shop.url)
        refund(xendit, paid_request(xendit))
        xendit.control.advance(timedelta(minutes=1))
        outer = shop.bodies[-1]
    assert (outer["event"], outer["data"]["event"]) == ("refund.succeeded", "refund.succeeded")
    assert (outer["data"]["data"]["amount"], outer["data"]["data"]["status"]) == (str(AMOUNT), "SUCCEEDED")
    xendit.control.reset()
    xendit.control.settings(nested_refunds=False)
    refund(xendit, paid_request(xendit))
    xendit.control.advance(timedelta(minutes=1))
    assert b'"amount": 1799000, "status": "SUCCEEDED"' in xendit.control.webhooks("fs-1")[-1].body


def test_a_refund_may_fail(xendit: Gateway) -> None:
    name = paid_request(xendit)
    xendit.control.fault(Fault.REFUND_FAILS, fields={"failure_code": "ACCOUNT_NOT_FOUND"})
    answer = refund(xendit, name)
    xendit.control.advance(timedelta(minutes=1))
    found = call(xendit, "GET", f"/refunds/{answer.body['id']}").body
    assert (found["status"], found["failure_code"]) == ("FAILED", "ACCOUNT_NOT_FOUND")
    assert xendit.control.webhooks("fs-1")[-1].event == "refund.failed"
    assert xendit.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}
    assert refund(xendit, name).status == 200


def test_the_key_of_a_refund_gives_the_same_answer(xendit: Gateway) -> None:
    name = paid_request(xendit)
    first = refund(xendit, name, {"idempotency-key": "k"}, amount=5)
    xendit.control.advance(timedelta(minutes=1))
    assert refund(xendit, name, {"idempotency-key": "k"}, amount=5).body == first.body
    assert refund(xendit, name, amount=5).body["id"] != first.body["id"]
    xendit.control.advance(timedelta(minutes=1))
    assert xendit.control.ledger() == {"fs-1": Sums(AMOUNT, 10)}


@pytest.mark.parametrize("channel", [*(f"{bank}_VIRTUAL_ACCOUNT" for bank in BANKS), "OVO", "ASTRAPAY"])
def test_a_channel_without_refunds_refuses_them(xendit: Gateway, channel: str) -> None:
    assert xendit_error(refund(xendit, paid_request(xendit, channel))) == (400, "REFUND_NOT_SUPPORTED")


@pytest.mark.parametrize(("channel", "days"), [("QRIS", 7), ("DANA", 30), ("LINKAJA", 30), ("SHOPEEPAY", 365)])
def test_a_refund_is_taken_within_the_window_of_its_channel(xendit: Gateway, channel: str, days: int) -> None:
    name = paid_request(xendit, channel)
    xendit.control.advance(days * DAY + timedelta(seconds=1))
    assert xendit_error(refund(xendit, name)) == (400, "REFUND_NOT_SUPPORTED")
    xendit.control.freeze(START + days * DAY)
    assert refund(xendit, name).status == 200


def test_linkaja_refunds_all_or_nothing(xendit: Gateway) -> None:
    name = paid_request(xendit, "LINKAJA")
    assert xendit_error(refund(xendit, name, amount=1)) == (400, "PARTIAL_REFUND_NOT_SUPPORTED")
    assert refund(xendit, name).status == 200


@pytest.mark.parametrize("app", [*REFUNDABLE_APPS, "LINKAJA", "BCA"])
def test_a_qris_is_refunded_to_some_apps_only(xendit: Gateway, app: str) -> None:
    answer = refund(xendit, paid_request(xendit, issuer=app))
    assert answer.status == (200 if app in REFUNDABLE_APPS else 400)


def test_a_refund_is_refused_for_its_own_reasons(xendit: Gateway) -> None:
    unpaid = request_id(xendit)
    assert xendit_error(refund(xendit, unpaid)) == (400, "INELIGIBLE_TRANSACTION_STATUS")
    name = paid_request(xendit)
    assert xendit_error(refund(xendit, name, amount=AMOUNT + 1)) == (400, "REFUND_AMOUNT_EXCEEDED")
    assert xendit_error(refund(xendit, name, reason="BORED")) == (400, "API_VALIDATION_ERROR")
    assert xendit_error(refund(xendit, name, currency="USD")) == (400, "API_VALIDATION_ERROR")
    assert xendit_error(refund(xendit, name, amount="5")) == (400, "API_VALIDATION_ERROR")
    assert xendit_error(refund(xendit, "pr-1")) == (404, "DATA_NOT_FOUND")
    xendit.control.fault(Fault.REFUND_BALANCE)
    assert xendit_error(refund(xendit, name)) == (400, "INSUFFICIENT_BALANCE")
    xendit.control.advance(timedelta(minutes=1))
    assert xendit.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}


def test_money_that_came_late_can_be_refunded(xendit: Gateway) -> None:
    name = request_id(xendit)
    xendit.control.advance(2 * DAY)
    xendit.control.pay(xendit.control.codes("fs-1")[0].value, force=True)
    assert refund(xendit, name).status == 200
    xendit.control.advance(timedelta(minutes=1))
    assert xendit.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}
