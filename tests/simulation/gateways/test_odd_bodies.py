"""A body with values of odd types is refused by the simulated gateways, and breaks nothing."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from simulation.gateways.client import Gateway
from tests.gateways import AMOUNT, call, charge, request

ODD = [None, [], {"a": 1}, True, 10**400, "\ud800"]
ORDER = {"order_id": "fs-1", "gross_amount": AMOUNT}
EXPIRY = {"order_time": "2026-11-29 10:00:00 +0700", "expiry_duration": 500, "unit": "day"}
ITEM = {"id": "1", "price": AMOUNT, "quantity": 1, "name": "Phone"}
REQUEST = {
    "reference_id": "fs-1", "type": "PAY", "country": "ID", "currency": "IDR", "request_amount": AMOUNT,
    "capture_method": "AUTOMATIC", "metadata": {},
}  # fmt: skip
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("midtrans", "/v2/charge", {"payment_type": "qris", "transaction_details": ORDER, "item_details": [ITEM],
                                "custom_expiry": EXPIRY, "qris": {"acquirer": "gopay"}, "metadata": {}}),
    ("midtrans", "/v2/charge", {"payment_type": "bank_transfer", "transaction_details": ORDER,
                                "bank_transfer": {"bank": "bni"}, "customer_details": {"phone": "08"}}),
    ("midtrans", "/v2/charge", {"payment_type": "echannel", "transaction_details": ORDER,
                                "echannel": {"bill_info1": "a", "bill_info2": "b"}}),
    ("midtrans", "/v2/charge", {"payment_type": "credit_card", "transaction_details": ORDER,
                                "credit_card": {"token_id": "x", "authentication": True, "callback_type": "form"}}),
    ("midtrans", "/snap/v1/transactions", {"transaction_details": ORDER, "enabled_payments": ["gopay"],
                                           "expiry": {"unit": "hour", "duration": 5}, "metadata": {}}),
    ("midtrans", "/v2/paid/refund", {"refund_key": "r", "amount": 5, "reason": "x"}),
    ("xendit", "/v3/payment_requests", {**REQUEST, "channel_code": "BCA_VIRTUAL_ACCOUNT",
                                        "channel_properties": {"display_name": "x", "expires_at": "2026-12-01"}}),
    ("xendit", "/v3/payment_requests", {**REQUEST, "channel_code": "DANA",
                                        "channel_properties": {"success_return_url": "https://shop.example"}}),
    ("xendit", "/refunds", {"payment_request_id": "", "reference_id": "r", "amount": 5, "reason": "OTHERS"}),
]  # fmt: skip


def fields(body: Mapping[str, Any], at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to each field of a body."""
    for name, value in body.items():
        yield (*at, name)
        if isinstance(value, dict):
            yield from fields(value, (*at, name))
        elif isinstance(value, list) and isinstance(value[0], dict):
            yield from fields(value[0], (*at, name, 0))


def changed(body: Mapping[str, Any], way: tuple[str | int, ...], value: Any) -> bytes:
    found: Any = copy.deepcopy(dict(body))
    at = found
    for part in way[:-1]:
        at = at[part]
    at[way[-1]] = value
    return json.dumps(found).encode()


@pytest.mark.parametrize(("name", "path", "body"), CALLS)
def test_a_value_of_an_odd_type_breaks_nothing(
    request: pytest.FixtureRequest, name: str, path: str, body: dict[str, Any]
) -> None:
    gateway: Gateway = request.getfixturevalue(name)
    gateway.control.pace(1_000_000)
    _paid(gateway, body)
    log = len(gateway.process.last_log_lines(lines=1000))
    for way in fields(body):
        for value in ODD:
            answer = call(gateway, "POST", path, changed(body, way, value))
            assert isinstance(answer.body, dict), (way, value, answer)
            assert answer.status < 500, (way, value, answer)
    assert len(gateway.process.last_log_lines(lines=1000)) == log


def _paid(gateway: Gateway, body: dict[str, Any]) -> None:
    """Makes a payment that can be refunded, and names it in the body of a refund."""
    begun = charge(gateway, "paid") if gateway.name == "midtrans" else request(gateway, "paid")
    gateway.control.pay(gateway.control.codes("paid")[0].value)
    if "payment_request_id" in body:
        body["payment_request_id"] = begun.body["payment_request_id"]
