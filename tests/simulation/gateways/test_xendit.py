"""The simulated Xendit takes payment requests, and notifies, as its documents say."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from simulation.gateways.client import Gateway, Sums
from tests.gateways import AMOUNT, START, Shop, call, paid_request, request, request_id, shop_server, xendit_error

DAY = timedelta(days=1)
PREFIXES = {"BCA": "70017", "BNI": "8808", "BRI": "92001", "MANDIRI": "88908", "BSI": "9347", "PERMATA": "7293"}


def look(xendit: Gateway, name: str) -> dict[str, Any]:
    return call(xendit, "GET", f"/v3/payment_requests/{name}").body


@pytest.fixture(autouse=True)
def _frozen(xendit: Gateway) -> None:
    xendit.control.freeze(START)


@pytest.fixture
def shop(xendit: Gateway) -> Iterator[Shop]:
    with shop_server() as shop:
        xendit.control.notify(shop.url)
        yield shop
        xendit.control.delivered()


def test_a_qris_request_has_a_code_and_times_of_utc(xendit: Gateway) -> None:
    answer = request(xendit, metadata={"sale": "1"})
    body = answer.body
    name, (action,) = body.pop("payment_request_id"), body.pop("actions")
    assert re.fullmatch(r"pr-[0-9a-f-]{36}", name)
    assert (action["type"], action["descriptor"]) == ("PRESENT_TO_CUSTOMER", "QR_STRING")
    assert action["value"] == xendit.control.codes("fs-1")[0].value
    at = "2026-11-29T03:00:00.000Z"
    assert (answer.status, body) == (
        201,
        {
            "business_id": "5f27a14a9bf05c73dd040bc8", "reference_id": "fs-1", "type": "PAY", "country": "ID",
            "currency": "IDR", "request_amount": 1_799_000, "capture_method": "AUTOMATIC", "channel_code": "QRIS",
            "metadata": {"sale": "1"}, "channel_properties": {}, "status": "REQUIRES_ACTION", "created": at,
            "updated": at,
        },
    )  # fmt: skip


@pytest.mark.parametrize(("bank", "prefix"), PREFIXES.items())
def test_a_virtual_account_has_a_number(xendit: Gateway, bank: str, prefix: str) -> None:
    (action,) = request(xendit, channel=f"{bank}_VIRTUAL_ACCOUNT").body["actions"]
    assert (action["type"], action["descriptor"]) == ("PRESENT_TO_CUSTOMER", "VIRTUAL_ACCOUNT_NUMBER")
    assert re.fullmatch(rf"{prefix}\d{{{16 - len(prefix)}}}", action["value"])


@pytest.mark.parametrize("wallet", ["DANA", "LINKAJA", "SHOPEEPAY", "ASTRAPAY"])
def test_a_wallet_has_an_address(xendit: Gateway, wallet: str) -> None:
    (action,) = request(xendit, channel=wallet).body["actions"]
    assert (action["type"], action["descriptor"]) == ("REDIRECT_CUSTOMER", "WEB_URL")
    without = request(xendit, channel=wallet, channel_properties={})
    assert xendit_error(without) == (400, "API_VALIDATION_ERROR")


def test_ovo_asks_on_the_phone_of_the_buyer(xendit: Gateway) -> None:
    assert request(xendit, channel="OVO").body["actions"] == []
    assert xendit.control.pay(xendit.control.codes("fs-1")[0].value).state == "SUCCEEDED"
    assert xendit_error(request(xendit, channel="OVO", channel_properties={})) == (400, "API_VALIDATION_ERROR")


def test_qris_refuses_a_time_to_pay_and_lives_48_hours(xendit: Gateway) -> None:
    answer = request(xendit, channel_properties={"expires_at": "2026-11-29T04:00:00Z"})
    assert xendit_error(answer) == (400, "API_VALIDATION_ERROR")
    assert xendit.control.codes("fs-1") == []
    name = request_id(xendit)
    xendit.control.advance(2 * DAY - timedelta(seconds=1))
    assert look(xendit, name)["status"] == "REQUIRES_ACTION"
    xendit.control.advance(timedelta(seconds=1))
    assert look(xendit, name)["status"] == "EXPIRED"


@pytest.mark.parametrize(("channel", "seconds"), [("OVO", 55), ("DANA", 86400), ("LINKAJA", 1800), ("SHOPEEPAY", 1800)])
def test_each_wallet_has_its_time(xendit: Gateway, channel: str, seconds: int) -> None:
    name = request_id(xendit, channel)
    xendit.control.advance(timedelta(seconds=seconds - 1))
    assert look(xendit, name)["status"] == "REQUIRES_ACTION"
    xendit.control.advance(timedelta(seconds=1))
    assert look(xendit, name)["status"] == "EXPIRED"


def test_a_virtual_account_takes_a_time_to_pay_in_utc(xendit: Gateway) -> None:
    account = {"display_name": "Shop"}
    bca = "BCA_VIRTUAL_ACCOUNT"
    name = request_id(xendit, bca, channel_properties={**account, "expires_at": "2026-11-29T03:14:00Z"})
    xendit.control.advance(timedelta(minutes=14))
    assert look(xendit, name)["status"] == "EXPIRED"
    for wrong in ["2026-11-29T09:00:00", "soon", 5, "2026-11-29T03:00:00Z"]:
        answer = request(xendit, channel=bca, channel_properties={**account, "expires_at": wrong})
        assert answer.status == 400


@pytest.mark.parametrize(
    ("channel", "amount", "status"),
    [
        ("QRIS", 1, 201),
        ("QRIS", 10_000_000, 201),
        ("QRIS", 10_000_001, 400),
        ("BCA_VIRTUAL_ACCOUNT", 9_999, 400),
        ("BCA_VIRTUAL_ACCOUNT", 10_000, 201),
        ("BCA_VIRTUAL_ACCOUNT", 50_000_000, 201),
        ("BCA_VIRTUAL_ACCOUNT", 50_000_001, 400),
        ("QRIS", 5.0, 201),
        ("QRIS", 5.5, 400),
        ("QRIS", "5", 400),
        ("QRIS", 0, 400),
        ("QRIS", True, 400),
        ("QRIS", None, 400),
    ],
)
def test_an_amount_is_a_number_of_rupiah_within_the_bounds_of_its_channel(
    xendit: Gateway, channel: str, amount: Any, status: int
) -> None:
    assert request(xendit, channel=channel, amount=amount).status == status


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference_id": ""},
        {"reference_id": "x" * 256},
        {"reference_id": 7},
        {"type": "PAY_AND_SAVE"},
        {"country": "PH"},
        {"currency": "USD"},
        {"channel_code": None},
        {"channel_properties": []},
        {"metadata": "x"},
    ],
)
def test_a_request_with_a_wrong_field_is_refused(xendit: Gateway, wrong: dict[str, Any]) -> None:
    assert xendit_error(request(xendit, **wrong)) == (400, "API_VALIDATION_ERROR")


def test_a_reference_may_have_255_characters(xendit: Gateway) -> None:
    assert request(xendit, "/" * 255).status == 201


def test_what_is_unknown_has_a_code_of_its_own(xendit: Gateway) -> None:
    assert xendit_error(request(xendit, channel="CARDS")) == (403, "CHANNEL_NOT_ACTIVATED")
    assert xendit_error(call(xendit, "GET", "/v3/payment_requests/pr-1")) == (404, "DATA_NOT_FOUND")
    assert xendit_error(call(xendit, "GET", "/v3/payments/py-1")) == (404, "DATA_NOT_FOUND")
    assert xendit_error(call(xendit, "GET", "/refunds/rfd-1")) == (404, "DATA_NOT_FOUND")
    assert xendit_error(call(xendit, "POST", "/v3/payment_requests/pr-1/cancel")) == (404, "DATA_NOT_FOUND")
    assert xendit_error(call(xendit, "GET", "/v3/payment_requests?reference_id=fs-1")) == (404, "DATA_NOT_FOUND")


def test_a_call_needs_the_key_and_the_version(xendit: Gateway) -> None:
    assert xendit_error(call(xendit, "GET", "/v3/payment_requests/x", key="other")) == (401, "INVALID_API_KEY")
    old = {"api-version": "2022-07-31"}
    assert xendit_error(call(xendit, "GET", "/v3/payment_requests/x", headers=old)) == (400, "API_VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("body", "wanted"), [(b"{", (400, "API_VALIDATION_ERROR")), (b" " * 70_000, (413, "PAYLOAD_TOO_LARGE"))]
)
def test_a_body_that_cannot_be_read_is_refused(xendit: Gateway, body: bytes, wanted: tuple[int, str]) -> None:
    assert xendit_error(call(xendit, "POST", "/v3/payment_requests", body)) == wanted


def test_one_reference_may_have_two_live_codes_and_both_can_be_paid(xendit: Gateway) -> None:
    first, second = request_id(xendit), request_id(xendit)
    assert first != second
    codes = xendit.control.codes("fs-1")
    assert [xendit.control.pay(code.value).state for code in codes] == ["SUCCEEDED", "SUCCEEDED"]
    assert xendit.control.ledger() == {"fs-1": Sums(2 * AMOUNT, 0)}


def test_a_payment_succeeds_with_a_capture_of_its_own(xendit: Gateway, shop: Shop) -> None:
    name = paid_request(xendit)
    xendit.control.delivered()
    found = look(xendit, name)
    money = call(xendit, "GET", f"/v3/payments/{found['latest_payment_id']}").body
    (capture,) = money["captures"]
    assert (found["status"], money["status"], capture["capture_amount"]) == ("SUCCEEDED", "SUCCEEDED", AMOUNT)
    (hook,) = shop.received
    assert hook.headers["x-callback-token"] == xendit.token
    assert (hook.json["event"], hook.json["business_id"]) == ("payment.capture", "5f27a14a9bf05c73dd040bc8")
    assert hook.json["data"] == money
    assert money["payment_id"] == found["latest_payment_id"]


def test_money_after_the_end_leaves_the_state_and_shows_in_the_payment(xendit: Gateway) -> None:
    name = request_id(xendit)
    xendit.control.advance(2 * DAY)
    code = xendit.control.codes("fs-1")[0].value
    assert xendit.control.pay(code).why == "closed: EXPIRED"
    assert xendit.control.pay(code, force=True).state == "EXPIRED"
    found = look(xendit, name)
    assert found["status"] == "EXPIRED"
    assert call(xendit, "GET", f"/v3/payments/{found['latest_payment_id']}").body["status"] == "SUCCEEDED"
    events = [hook.event for hook in xendit.control.webhooks("fs-1")]
    assert events == ["payment_request.expiry", "payment.capture"]
    assert xendit.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}


def test_a_second_payment_and_another_amount_are_payments_of_their_own(xendit: Gateway) -> None:
    name = paid_request(xendit)
    first = look(xendit, name)["latest_payment_id"]
    assert xendit.control.pay(xendit.control.codes("fs-1")[0].value, amount=5, force=True).accepted
    found = look(xendit, name)
    assert found["latest_payment_id"] != first
    assert found["request_amount"] == AMOUNT
    money = call(xendit, "GET", f"/v3/payments/{found['latest_payment_id']}").body
    assert money["captures"][0]["capture_amount"] == 5
    assert xendit.control.ledger() == {"fs-1": Sums(AMOUNT + 5, 0)}


def test_a_cancelled_request_takes_no_money_from_a_bank(xendit: Gateway) -> None:
    name = request_id(xendit)
    answer = call(xendit, "POST", f"/v3/payment_requests/{name}/cancel")
    assert (answer.status, answer.body["status"]) == (200, "CANCELED")
    assert xendit.control.pay(xendit.control.codes("fs-1")[0].value).why == "closed: CANCELED"
    again = call(xendit, "POST", f"/v3/payment_requests/{name}/cancel")
    assert xendit_error(again) == (400, "INACTIVE_PAYMENT_REQUEST")


def test_what_is_paid_cannot_be_cancelled(xendit: Gateway) -> None:
    name = paid_request(xendit)
    answer = call(xendit, "POST", f"/v3/payment_requests/{name}/cancel")
    assert xendit_error(answer) == (400, "INELIGIBLE_TRANSACTION_STATUS")
    assert look(xendit, name)["status"] == "SUCCEEDED"


def test_a_wallet_reports_a_failure_and_a_qr_code_does_not(xendit: Gateway) -> None:
    name = request_id(xendit, "DANA")
    assert xendit.control.decline(xendit.control.codes("fs-1")[0].value).state == "FAILED"
    assert look(xendit, name)["failure_code"] == "DECLINED_BY_ISSUER"
    assert [hook.event for hook in xendit.control.webhooks("fs-1")] == ["payment.failure"]
    request_id(xendit)
    assert not xendit.control.decline(xendit.control.codes("fs-1")[1].value).accepted


def test_each_endpoint_takes_600_calls_a_minute_and_says_so(xendit: Gateway) -> None:
    first = call(xendit, "GET", "/v3/payment_requests/x").headers
    names = ("rate-limit-limit", "rate-limit-remaining", "rate-limit-reset")
    assert [first[name] for name in names] == ["600", "599", "60.00"]
    xendit.control.pace(2)
    xendit.control.advance(timedelta(seconds=20))
    assert call(xendit, "GET", "/v3/payment_requests/x").status == 404
    over = call(xendit, "GET", "/v3/payment_requests/x")
    assert xendit_error(over) == (429, "RATE_LIMIT_EXCEEDED")
    assert [over.headers[name] for name in names] == ["2", "0", "40.00"]
    assert request(xendit).status == 201
    xendit.control.advance(timedelta(seconds=40))
    assert call(xendit, "GET", "/v3/payment_requests/x").status == 404


def test_the_test_mode_takes_60_calls_a_minute_and_simulates_payments(xendit: Gateway) -> None:
    name = request_id(xendit)
    live = call(xendit, "POST", f"/v3/payment_requests/{name}/simulate", {"amount": AMOUNT})
    assert xendit_error(live) == (404, "DATA_NOT_FOUND")
    xendit.control.rotate(key="xnd_development_1")
    key = "xnd_development_1"
    wrong = call(xendit, "POST", f"/v3/payment_requests/{name}/simulate", {"amount": 5}, key=key)
    assert xendit_error(wrong) == (400, "INVALID_VALUE_ERROR")
    fine = call(xendit, "POST", f"/v3/payment_requests/{name}/simulate", {"amount": AMOUNT}, key=key)
    assert (fine.status, fine.body["status"], fine.headers["rate-limit-limit"]) == (200, "PENDING", "60")
    assert [hook.event for hook in xendit.control.webhooks("fs-1")] == ["payment.capture"]


def test_a_webhook_has_six_repeats(xendit: Gateway, shop: Shop) -> None:
    shop.answers = [500] * 9
    paid_request(xendit)
    xendit.control.delivered()
    waits = [15, 45, 120, 180, 360, 720]
    for number, minutes in enumerate(waits, start=1):
        xendit.control.advance(timedelta(minutes=minutes, seconds=-1))
        assert len(shop.received) == number
        xendit.control.advance(timedelta(seconds=1))
        assert len(shop.received) == number + 1
    xendit.control.advance(3 * DAY)
    assert len(shop.received) == 7
    assert len({one.body for one in shop.received}) == 1
