"""The simulated Midtrans takes charges and closes them as its documents say."""

import re
import threading
from datetime import timedelta
from typing import Any

import pytest

from simulation.gateways.client import Gateway
from simulation.gateways.faults import Fault
from tests.gateways import AMOUNT, START, Answer, call, charge, wait_until

PAST = "2026-11-29 10:00:00"
BANKS = {"bca": "12345", "bni": "988", "bri": "26215", "cimb": "1199"}


def status(midtrans: Gateway, name: str = "fs-1") -> dict[str, Any]:
    return call(midtrans, "GET", f"/v2/{name}/status").body


def expiry(duration: Any, unit: str = "second", **more: Any) -> dict[str, Any]:
    return {
        "custom_expiry": {"order_time": "2026-11-29 10:00:00 +0700", "expiry_duration": duration, "unit": unit, **more}
    }


def refusal(answer: Answer) -> tuple[int, str]:
    assert "transaction_id" not in answer.body
    return answer.status, answer.body["status_code"]


@pytest.fixture(autouse=True)
def _frozen(midtrans: Gateway) -> None:
    midtrans.control.freeze(START)


def test_a_qris_charge_has_a_code_a_picture_and_times_of_jakarta_without_offset(midtrans: Gateway) -> None:
    answer = charge(midtrans, "fs-1")
    made = answer.body
    transaction, code = made.pop("transaction_id"), made.pop("qr_string")
    assert re.fullmatch(r"[0-9a-f-]{36}", transaction)
    picture = f"{midtrans.url}/v2/qr/{transaction}"
    assert (answer.status, made) == (
        200,
        {
            "status_code": "201", "status_message": "Success, qris transaction is created", "order_id": "fs-1",
            "merchant_id": "G000000001", "gross_amount": "1799000.00", "currency": "IDR", "payment_type": "qris",
            "transaction_time": PAST, "transaction_status": "pending", "fraud_status": "accept",
            "expiry_time": "2026-11-29 10:15:00", "acquirer": "gopay",
            "actions": [
                {"name": name, "method": "GET", "url": picture} for name in ("generate-qr-code", "generate-qr-code-v2")
            ],
        },
    )  # fmt: skip
    assert call(midtrans, "GET", f"/v2/qr/{transaction}").body.decode() == code
    assert code.startswith("000201010212")
    assert "54071799000" in code


@pytest.mark.parametrize(("bank", "prefix"), BANKS.items())
def test_a_bank_transfer_has_an_account_number(midtrans: Gateway, bank: str, prefix: str) -> None:
    made = charge(midtrans, kind="bank_transfer", bank_transfer={"bank": bank}).body
    (account,) = made["va_numbers"]
    assert account["bank"] == bank
    assert re.fullmatch(rf"{prefix}\d{{{16 - len(prefix)}}}", account["va_number"])
    assert made["expiry_time"] == "2026-11-30 10:00:00"


def test_permata_and_mandiri_have_numbers_of_their_own(midtrans: Gateway) -> None:
    permata = charge(midtrans, "fs-1", kind="bank_transfer", bank_transfer={"bank": "permata"}).body
    bill = {"bill_info1": "1234567890", "bill_info2": "x" * 30}
    mandiri = charge(midtrans, "fs-2", kind="echannel", echannel=bill).body
    assert re.fullmatch(r"8562\d{12}", permata["permata_va_number"])
    assert "va_numbers" not in permata
    assert mandiri["biller_code"] == "70012"
    assert re.fullmatch(r"900\d{9}", mandiri["bill_key"])


def test_gopay_has_four_actions_and_comes_back_as_qris_from_a_desktop(midtrans: Gateway) -> None:
    made = charge(midtrans, kind="gopay", gopay={"enable_callback": True, "callback_url": "https://shop.example"}).body
    names = ["generate-qr-code", "deeplink-redirect", "get-status", "cancel"]
    assert [action["name"] for action in made["actions"]] == names
    qr, deeplink = midtrans.control.codes("fs-1")
    assert made["actions"][1]["url"] == deeplink.value
    assert made["payment_type"] == "gopay"
    assert midtrans.control.pay(qr.value).accepted
    assert status(midtrans)["payment_type"] == "qris"


def test_a_card_is_pending_behind_a_redirect_for_ten_minutes(midtrans: Gateway) -> None:
    token = "481111-1114-" + "0" * 36
    card = {"token_id": token, "authentication": True, "callback_type": "form"}
    made = charge(midtrans, kind="credit_card", credit_card=card).body
    assert (made["status_code"], made["transaction_status"]) == ("201", "pending")
    assert made["redirect_url"] == midtrans.control.codes("fs-1")[0].value
    assert made["expiry_time"] == "2026-11-29 10:10:00"
    assert refusal(charge(midtrans, "fs-2", kind="credit_card", credit_card={**card, "token_id": "x"})) == (200, "411")


@pytest.mark.parametrize("order_id", ["a/b", "a b", "", "x" * 51, "é", 7, None])
def test_an_order_id_that_midtrans_does_not_know_is_refused(midtrans: Gateway, order_id: Any) -> None:
    answer = charge(midtrans, order_id)
    assert refusal(answer) == (200, "400")
    assert answer.body["validation_messages"] == [
        "transaction_details.order_id must have 1-50 of the characters A-Z a-z 0-9 - _ ~ ."
    ]


def test_an_order_id_may_have_50_characters_and_four_signs(midtrans: Gateway) -> None:
    assert charge(midtrans, "Az09-_~." + "x" * 42).body["status_code"] == "201"


@pytest.mark.parametrize("amount", [1799000.0, "1799000", 0, -1, True, None, 10_000_001])
def test_an_amount_that_is_not_whole_rupiah_or_too_much_for_qris_is_refused(midtrans: Gateway, amount: Any) -> None:
    assert refusal(charge(midtrans, amount=amount)) == (200, "400")
    assert midtrans.control.codes("fs-1") == []


def test_a_virtual_account_takes_more_than_ten_million(midtrans: Gateway) -> None:
    made = charge(midtrans, amount=10_000_001, kind="bank_transfer", bank_transfer={"bank": "bca"}).body
    assert made["gross_amount"] == "10000001.00"


def test_the_items_must_sum_up_to_the_amount_and_may_have_a_discount(midtrans: Gateway) -> None:
    items = [{"id": "1", "price": 1_800_000, "quantity": 1, "name": "Phone"}]
    discount = {"id": "2", "price": -1000, "quantity": 1, "name": "Voucher"}
    wrong = charge(midtrans, item_details=items)
    assert refusal(wrong) == (200, "400")
    assert "not equal to the sum of item_details" in wrong.body["validation_messages"][0]
    assert charge(midtrans, item_details=[*items, discount]).body["status_code"] == "201"


def test_bni_refuses_a_phone_that_does_not_begin_with_62_or_0(midtrans: Gateway) -> None:
    bni: dict[str, Any] = {"kind": "bank_transfer", "bank_transfer": {"bank": "bni"}}
    assert refusal(charge(midtrans, **bni, customer_details={"phone": "812345678"})) == (200, "400")
    assert charge(midtrans, "fs-2", **bni, customer_details={"phone": "+62812345678"}).body["status_code"] == "201"
    assert charge(midtrans, "fs-3", **bni, customer_details={"phone": "0812345678"}).body["status_code"] == "201"


@pytest.mark.parametrize(
    "bill", [{}, {"bill_info1": "x" * 11, "bill_info2": "x"}, {"bill_info1": "x", "bill_info2": "y" * 31}]
)
def test_mandiri_refuses_texts_that_are_too_long(midtrans: Gateway, bill: dict[str, str]) -> None:
    assert refusal(charge(midtrans, kind="echannel", echannel=bill)) == (200, "400")


def test_a_method_that_is_unknown_or_not_activated_is_refused(midtrans: Gateway) -> None:
    assert refusal(charge(midtrans, kind="cheque")) == (200, "400")
    assert refusal(charge(midtrans, kind="dana")) == (200, "402")
    assert refusal(charge(midtrans, kind="bank_transfer", bank_transfer={"bank": "hsbc"})) == (200, "400")
    assert refusal(charge(midtrans, qris={"acquirer": "dana"})) == (200, "400")


@pytest.mark.parametrize(
    ("more", "unit", "least", "most"),
    [
        ({}, "second", 20, 7 * 86400),
        ({"qris": {"acquirer": "airpay shopee"}}, "second", 20, 5 * 86400),
        ({"kind": "gopay"}, "second", 20, 7 * 86400),
        ({"kind": "bank_transfer", "bank_transfer": {"bank": "bca"}}, "second", 20, 180 * 86400),
    ],
)
def test_the_time_to_pay_has_bounds(midtrans: Gateway, more: dict[str, Any], unit: str, least: int, most: int) -> None:
    for number, (seconds, code) in enumerate([(least - 1, "400"), (least, "201"), (most, "201"), (most + 1, "400")]):
        answer = charge(midtrans, f"fs-{number}", **more, **expiry(seconds, unit))
        assert answer.body["status_code"] == code


def test_the_time_to_pay_begins_at_the_order(midtrans: Gateway) -> None:
    made = charge(midtrans, **expiry(2, "hour", order_time="2026-11-29 09:00:00 +0700")).body
    assert made["expiry_time"] == "2026-11-29 11:00:00"
    over = charge(midtrans, "fs-2", **expiry(1, "hour", order_time="2026-11-29 09:00:00 +0700"))
    assert refusal(over) == (200, "400")
    assert refusal(charge(midtrans, "fs-2", **expiry(1, "hour", order_time="2026-11-29 09:00:00"))) == (200, "400")
    assert refusal(charge(midtrans, "fs-2", **expiry(1, "week"))) == (200, "400")


def test_the_header_of_the_key_is_the_one_of_the_worked_example(midtrans: Gateway) -> None:
    header = {"Authorization": "Basic U0ItTWlkLXNlcnZlci1tYWRlLXVwLWtleS0wMTo="}
    assert charge(midtrans, headers=header).body["status_code"] == "201"


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!", "Bearer U0ItTWlkLXNlcnZlci1tYWRlLXVwLWtleS0wMTo=", "Basic U0ItTWlkLXNlcnZlcg=="]
)
def test_a_wrong_key_gets_http_200_with_401_inside(midtrans: Gateway, header: str) -> None:
    assert refusal(charge(midtrans, headers={"Authorization": header})) == (200, "401")


def test_errors_stand_in_the_status_of_http_where_that_is_set(midtrans: Gateway) -> None:
    midtrans.control.settings(mirror_http=True)
    assert refusal(charge(midtrans, kind="cheque")) == (400, "400")
    assert call(midtrans, "GET", "/v2/nothing/status").status == 404


def test_an_order_id_in_use_is_refused_and_a_closed_one_is_charged_anew(midtrans: Gateway) -> None:
    first = charge(midtrans).body
    assert refusal(charge(midtrans)) == (200, "406")
    assert call(midtrans, "POST", "/v2/fs-1/expire").body["status_code"] == "407"
    second = charge(midtrans).body
    assert second["status_code"] == "201"
    assert second["qr_string"] != first["qr_string"]
    assert status(midtrans)["transaction_id"] == second["transaction_id"]
    assert status(midtrans, first["transaction_id"])["transaction_status"] == "expire"
    assert [code.state for code in midtrans.control.codes("fs-1")] == ["expire", "pending"]
    assert midtrans.control.pay(second["qr_string"]).accepted
    assert refusal(charge(midtrans)) == (200, "406")


def test_an_unknown_order_is_404(midtrans: Gateway) -> None:
    for verb, path in [
        ("GET", "status"),
        ("POST", "cancel"),
        ("POST", "expire"),
        ("POST", "refund"),
        ("POST", "approve"),
    ]:
        assert refusal(call(midtrans, verb, f"/v2/fs-1/{path}")) == (200, "404")


def test_a_pending_charge_expires_by_the_clock(midtrans: Gateway) -> None:
    charge(midtrans)
    midtrans.control.advance(timedelta(minutes=15) - timedelta(seconds=1))
    assert status(midtrans)["transaction_status"] == "pending"
    midtrans.control.advance(timedelta(seconds=1))
    found = status(midtrans)
    assert (found["status_code"], found["transaction_status"]) == ("407", "expire")
    paid = midtrans.control.pay(midtrans.control.codes("fs-1")[0].value)
    assert (paid.accepted, paid.why) == (False, "closed: expire")
    assert midtrans.control.ledger() == {}


def test_cancel_says_200_and_expire_says_407_and_both_notify_with_202(midtrans: Gateway) -> None:
    for verb, code in [("cancel", "200"), ("expire", "407")]:
        charge(midtrans, verb)
        answer = call(midtrans, "POST", f"/v2/{verb}/{verb}")
        assert (answer.status, answer.body["status_code"], answer.body["transaction_status"]) == (200, code, verb)
        assert b'"status_code": "202"' in midtrans.control.webhooks(verb)[-1].body
        assert refusal(call(midtrans, "POST", f"/v2/{verb}/{verb}")) == (200, "412")


def test_what_is_paid_can_be_neither_cancelled_nor_expired(midtrans: Gateway) -> None:
    midtrans.control.pay(charge(midtrans).body["qr_string"])
    assert refusal(call(midtrans, "POST", "/v2/fs-1/cancel")) == (200, "412")
    assert refusal(call(midtrans, "POST", "/v2/fs-1/expire")) == (200, "412")
    found = status(midtrans)
    assert (found["status_code"], found["transaction_status"], found["settlement_time"]) == ("200", "settlement", PAST)


def test_an_idempotency_key_of_46_characters_gives_the_same_answer_whatever_the_body(midtrans: Gateway) -> None:
    key = {"Idempotency-Key": "k" * 46}
    first = charge(midtrans, headers=key)
    assert charge(midtrans, "fs-2", amount=5, headers=key).body == first.body
    assert midtrans.control.codes("fs-2") == []


def test_a_key_of_47_characters_is_silently_ignored(midtrans: Gateway) -> None:
    key = {"Idempotency-Key": "k" * 47}
    charge(midtrans, headers=key)
    assert refusal(charge(midtrans, headers=key)) == (200, "406")


def test_a_key_is_kept_for_five_minutes(midtrans: Gateway) -> None:
    key = {"Idempotency-Key": "k"}
    first = charge(midtrans, headers=key)
    midtrans.control.advance(timedelta(minutes=5) - timedelta(seconds=1))
    assert charge(midtrans, headers=key).body == first.body
    midtrans.control.advance(timedelta(seconds=1))
    assert refusal(charge(midtrans, headers=key)) == (200, "406")


def test_only_successes_are_kept(midtrans: Gateway) -> None:
    key = {"Idempotency-Key": "k"}
    assert refusal(charge(midtrans, amount=0, headers=key)) == (200, "400")
    assert charge(midtrans, headers=key).body["status_code"] == "201"


def test_permata_has_no_idempotency(midtrans: Gateway) -> None:
    permata: dict[str, Any] = {
        "kind": "bank_transfer",
        "bank_transfer": {"bank": "permata"},
        "headers": {"Idempotency-Key": "k"},
    }
    charge(midtrans, **permata)
    assert refusal(charge(midtrans, **permata)) == (200, "406")


def test_a_key_in_progress_gets_http_202(midtrans: Gateway) -> None:
    midtrans.control.fault(Fault.SLOW, on="begin", seconds=0.5)
    key = {"Idempotency-Key": "k"}
    answers: list[Answer] = []
    slow = threading.Thread(target=lambda: answers.append(charge(midtrans, headers=key)))
    slow.start()
    wait_until(lambda: bool(midtrans.control.codes("fs-1")))
    during = charge(midtrans, headers=key)
    slow.join()
    assert (during.status, during.body["status_code"]) == (202, "202")
    assert charge(midtrans, headers=key).body == answers[0].body
    assert answers[0].body["status_code"] == "201"


def test_above_its_pace_it_answers_429_until_the_minute_is_over(midtrans: Gateway) -> None:
    midtrans.control.pace(2)
    assert [call(midtrans, "GET", "/v2/x/status").body["status_code"] for _ in range(3)] == ["404", "404", "429"]
    refused = charge(midtrans)
    assert refusal(refused) == (429, "429")
    assert midtrans.control.codes("fs-1") == []
    midtrans.control.advance(timedelta(minutes=1))
    assert charge(midtrans).body["status_code"] == "201"
    assert midtrans.control.calls() == {"look": 3, "begin": 2}


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"\xff", b'{"a": NaN}', b"[" * 60_000])
def test_a_body_that_is_no_json_object_is_refused(midtrans: Gateway, body: bytes) -> None:
    assert refusal(call(midtrans, "POST", "/v2/charge", body)) == (200, "400")


def test_a_body_that_is_too_large_is_refused(midtrans: Gateway) -> None:
    assert refusal(call(midtrans, "POST", "/v2/charge", b" " * 70_000)) == (413, "413")


def test_a_path_that_does_not_exist_is_404(midtrans: Gateway) -> None:
    assert call(midtrans, "GET", "/v2/a/b/status").body["status_code"] == "404"
    assert call(midtrans, "GET", "/v2/charge").body["status_code"] == "404"


def test_a_payment_page_is_a_transaction_when_the_buyer_picks_a_method(midtrans: Gateway) -> None:
    order = {
        "transaction_details": {"order_id": "fs-1", "gross_amount": AMOUNT},
        "enabled_payments": ["credit_card", "bca_va"],
    }
    page = call(midtrans, "POST", "/snap/v1/transactions", order)
    assert page.status == 201
    assert set(page.body) == {"token", "redirect_url"}
    assert refusal(call(midtrans, "GET", "/v2/fs-1/status")) == (200, "404")
    assert (
        midtrans.control.pick(page.body["redirect_url"], "gopay").why == "method: this page offers credit_card, bca_va"
    )
    assert midtrans.control.pick(page.body["redirect_url"], "bca_va").state == "pending"
    assert status(midtrans)["va_numbers"][0]["bank"] == "bca"
    again = call(midtrans, "POST", "/snap/v1/transactions", order)
    assert (again.status, list(again.body)) == (400, ["error_messages"])
    assert midtrans.control.pay(page.body["redirect_url"]).state == "settlement"


def test_a_payment_page_refuses_in_its_own_form(midtrans: Gateway) -> None:
    wrong = {"transaction_details": {"order_id": "a/b", "gross_amount": 1}}
    text = "transaction_details.order_id must have 1-50 of the characters A-Z a-z 0-9 - _ ~ ."
    assert call(midtrans, "POST", "/snap/v1/transactions", wrong)[:2] == (400, {"error_messages": [text]})
    assert call(midtrans, "POST", "/snap/v1/transactions", wrong, key="x").status == 401


def test_a_payment_page_closes_in_its_time(midtrans: Gateway) -> None:
    order = {
        "transaction_details": {"order_id": "fs-1", "gross_amount": AMOUNT},
        "expiry": {"unit": "minute", "duration": 5},
    }
    page = call(midtrans, "POST", "/snap/v1/transactions", order).body["redirect_url"]
    midtrans.control.advance(timedelta(minutes=5))
    assert midtrans.control.pay(page).why == "closed: the time of this page is over"
    assert refusal(call(midtrans, "GET", "/v2/fs-1/status")) == (200, "404")
