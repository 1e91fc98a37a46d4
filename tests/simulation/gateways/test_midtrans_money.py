"""Money at the simulated Midtrans: states, signatures, cards, reversals and refunds as its documents say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulation.gateways.client import Gateway, Sums
from simulation.gateways.faults import Fault
from tests.gateways import AMOUNT, START, Answer, call, charge

DAY = timedelta(days=1)
SHOPEE: dict[str, Any] = {"qris": {"acquirer": "airpay shopee"}}
WORKED_200 = (
    "ddb943f493d00030adf000a90a113e410df1581bb1c20957f3971757d47765d7"
    "bd3d2c369214e83cf9c5a6d7ddee710dd5af580e079102e05600c8c58bb71f04"
)
WORKED_201 = (
    "6f0d771b9bef158339e70ce4433c5af390524feabf94d06b187a27aaabd05787"
    "37c346858cc29b08fb37d481977c612a2ab46b6eca883524deec0018b5e4f0e2"
)


def status(midtrans: Gateway) -> dict[str, Any]:
    return call(midtrans, "GET", "/v2/fs-1/status").body


def notices(midtrans: Gateway, reference: str = "fs-1") -> list[dict[str, Any]]:
    return [json.loads(hook.body) for hook in midtrans.control.webhooks(reference)]


def states(midtrans: Gateway) -> list[tuple[str, str]]:
    return [(notice["transaction_status"], notice["status_code"]) for notice in notices(midtrans)]


def paid(midtrans: Gateway, issuer: str = "", **more: Any) -> str:
    """Charges and pays. Returns the code."""
    charge(midtrans, **more)
    code = midtrans.control.codes("fs-1")[0].value
    assert midtrans.control.pay(code, issuer=issuer).accepted
    return code


def card(midtrans: Gateway, number: str) -> str:
    """Charges a card and pays with it. Returns the code."""
    token = {"token_id": "481111-1114-" + "0" * 36, "authentication": True}
    charge(midtrans, kind="credit_card", credit_card=token)
    code = midtrans.control.codes("fs-1")[0].value
    midtrans.control.pay(code, card=number)
    return code


def refund(midtrans: Gateway, key: str = "r-1", **more: Any) -> Answer:
    return call(midtrans, "POST", "/v2/fs-1/refund", {"refund_key": key, **more})


@pytest.fixture(autouse=True)
def _frozen(midtrans: Gateway) -> None:
    midtrans.control.freeze(START)


def test_the_worked_signatures_come_out(midtrans: Gateway) -> None:
    charge(midtrans, "fs-7Q2Z9K1M4R-1", amount=1_799_000)
    midtrans.control.pay(midtrans.control.codes("fs-7Q2Z9K1M4R-1")[0].value)
    signed = [(one["status_code"], one["signature_key"]) for one in notices(midtrans, "fs-7Q2Z9K1M4R-1")]
    assert signed == [("201", WORKED_201), ("200", WORKED_200)]
    assert call(midtrans, "GET", "/v2/fs-7Q2Z9K1M4R-1/status").body["signature_key"] == WORKED_200


def test_a_settlement_and_its_refund_share_a_signature(midtrans: Gateway) -> None:
    paid(midtrans)
    refund(midtrans)
    _, settlement, back = notices(midtrans)
    assert (settlement["transaction_status"], back["transaction_status"]) == ("settlement", "refund")
    assert settlement["signature_key"] == back["signature_key"]


def test_a_payment_by_the_acquirers_own_app_is_on_us_and_by_another_off_us(midtrans: Gateway) -> None:
    charge(midtrans, "fs-1")
    charge(midtrans, "fs-2")
    for reference, issuer in [("fs-1", "gopay"), ("fs-2", "dana")]:
        midtrans.control.pay(midtrans.control.codes(reference)[0].value, issuer=issuer)
    kinds = [(one["issuer"], one["transaction_type"]) for one in (notices(midtrans)[-1], notices(midtrans, "fs-2")[-1])]
    assert kinds == [("gopay", "on-us"), ("dana", "off-us")]


def test_a_bank_refuses_another_amount_and_a_second_payment(midtrans: Gateway) -> None:
    charge(midtrans, kind="bank_transfer", bank_transfer={"bank": "bca"})
    code = midtrans.control.codes("fs-1")[0].value
    assert midtrans.control.pay(code, amount=5).why == f"amount: this code is for {AMOUNT} rupiah"
    assert midtrans.control.pay(code).accepted
    assert midtrans.control.pay(code).why == "closed: settlement"
    assert midtrans.control.pay("0").why == "unknown: no payment has this code"
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}


@pytest.mark.parametrize("verb", ["expire", "cancel"])
def test_money_that_comes_after_the_end_is_a_settlement(midtrans: Gateway, verb: str) -> None:
    charge(midtrans)
    call(midtrans, "POST", f"/v2/fs-1/{verb}")
    assert midtrans.control.pay(midtrans.control.codes("fs-1")[0].value, force=True).state == "settlement"
    assert states(midtrans) == [("pending", "201"), (verb, "202"), ("settlement", "200")]
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}


def test_another_amount_and_a_second_payment_stand_in_the_gross_amount(midtrans: Gateway) -> None:
    charge(midtrans)
    code = midtrans.control.codes("fs-1")[0].value
    midtrans.control.pay(code, amount=5, force=True)
    assert status(midtrans)["gross_amount"] == "5.00"
    midtrans.control.pay(code, force=True)
    assert status(midtrans)["gross_amount"] == "1799005.00"
    midtrans.control.pay(code, force=True, hidden=True)
    assert status(midtrans)["gross_amount"] == "1799005.00"
    assert midtrans.control.ledger() == {"fs-1": Sums(2 * AMOUNT + 5, 0)}


def test_an_imposed_fee_is_in_the_amount_and_the_signature(midtrans: Gateway) -> None:
    midtrans.control.settings(imposed_fee=2500)
    paid(midtrans)
    notice = notices(midtrans)[-1]
    assert notice["gross_amount"] == "1801500.00"
    assert notice["metadata"]["extra_info"]["gross_amount_info"]["original_amount"] == "1799000.00"
    assert notice["signature_key"] != notices(midtrans)[0]["signature_key"]


@pytest.mark.parametrize(
    ("number", "state", "fraud", "code"),
    [
        ("4811111111111114", "capture", "accept", "200"),
        ("4411111111111118", "capture", "accept", "200"),
        ("5211111111111117", "capture", "accept", "200"),
        ("4911111111111113", "deny", "accept", "202"),
        ("5111111111111118", "deny", "accept", "202"),
        ("4611111111111116", "deny", "deny", "202"),
        ("challenge", "capture", "challenge", "201"),
    ],
)
def test_each_test_card_does_what_it_should(midtrans: Gateway, number: str, state: str, fraud: str, code: str) -> None:
    card(midtrans, number)
    found = status(midtrans)
    assert (found["transaction_status"], found["fraud_status"], found["status_code"]) == (state, fraud, code)
    assert states(midtrans)[-1] == (state, code)
    assert midtrans.control.ledger() == ({"fs-1": Sums(AMOUNT, 0)} if state == "capture" else {})


def test_one_test_card_is_pending_for_a_minute(midtrans: Gateway) -> None:
    card(midtrans, "4024007176265022")
    midtrans.control.advance(timedelta(seconds=59))
    assert status(midtrans)["transaction_status"] == "pending"
    midtrans.control.advance(timedelta(seconds=1))
    assert status(midtrans)["transaction_status"] == "capture"


def test_a_capture_settles_the_day_after(midtrans: Gateway) -> None:
    card(midtrans, "4811111111111114")
    midtrans.control.advance(DAY)
    assert (status(midtrans)["transaction_status"], status(midtrans)["settlement_time"]) == (
        "settlement",
        "2026-11-30 10:00:00",
    )


def test_a_capture_can_be_cancelled_and_not_refunded(midtrans: Gateway) -> None:
    card(midtrans, "4811111111111114")
    assert refund(midtrans).body["status_code"] == "412"
    assert call(midtrans, "POST", "/v2/fs-1/cancel").body["status_code"] == "200"
    midtrans.control.advance(DAY)
    assert status(midtrans)["transaction_status"] == "cancel"
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}


def test_a_card_under_review_is_approved_denied_or_cancelled_at_the_settlement(midtrans: Gateway) -> None:
    card(midtrans, "challenge")
    assert call(midtrans, "POST", "/v2/fs-1/approve").body["status_code"] == "200"
    assert (status(midtrans)["status_code"], status(midtrans)["fraud_status"]) == ("200", "accept")
    assert call(midtrans, "POST", "/v2/fs-1/deny").body["status_code"] == "412"
    midtrans.control.reset()
    midtrans.control.freeze(START)
    card(midtrans, "challenge")
    call(midtrans, "POST", "/v2/fs-1/deny")
    assert (status(midtrans)["transaction_status"], midtrans.control.ledger()["fs-1"]) == ("deny", Sums(AMOUNT, AMOUNT))
    midtrans.control.reset()
    midtrans.control.freeze(START)
    card(midtrans, "challenge")
    midtrans.control.advance(DAY)
    assert (status(midtrans)["transaction_status"], midtrans.control.ledger()["fs-1"]) == (
        "cancel",
        Sums(AMOUNT, AMOUNT),
    )


def test_an_abandoned_card_has_no_event_until_it_expires(midtrans: Gateway) -> None:
    charge(midtrans, kind="credit_card", credit_card={"token_id": "481111-1114-" + "0" * 36, "authentication": True})
    midtrans.control.advance(timedelta(minutes=10))
    assert states(midtrans) == [("pending", "201"), ("expire", "202")]


@pytest.mark.parametrize(
    "more",
    [
        {"kind": "bank_transfer", "bank_transfer": {"bank": "permata"}},
        {"kind": "echannel", "echannel": {"bill_info1": "x", "bill_info2": "y"}},
    ],
)
def test_permata_and_mandiri_take_money_back_minutes_after_the_settlement(
    midtrans: Gateway, more: dict[str, Any]
) -> None:
    code = paid(midtrans, **more)
    midtrans.control.advance(timedelta(minutes=3))
    assert midtrans.control.reverse(code).state == "deny"
    assert states(midtrans) == [("pending", "201"), ("settlement", "200"), ("deny", "202")]
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}
    assert midtrans.control.reverse(code).why == "empty: no money is there"


def test_a_qris_has_no_reversals(midtrans: Gateway) -> None:
    code = paid(midtrans)
    assert midtrans.control.reverse(code).why == "never: qris has no reversals"


def test_a_refund_is_told_twice_and_only_the_second_time_the_money_is_sent(midtrans: Gateway) -> None:
    paid(midtrans)
    answer = refund(midtrans, reason="fs-1 was not for sale").body
    wanted = ("200", "refund", "1799000.00", "r-1", 1)
    names = ("status_code", "transaction_status", "refund_amount", "refund_key", "refund_chargeback_id")
    assert tuple(answer[name] for name in names) == wanted
    first = {
        "refund_chargeback_id": 1, "refund_amount": "1799000.00", "created_at": "2026-11-29 10:00:00",
        "reason": "fs-1 was not for sale", "refund_key": "r-1", "refund_method": "online",
    }  # fmt: skip
    assert notices(midtrans)[-1]["refunds"] == [first]
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}
    midtrans.control.advance(timedelta(minutes=1))
    assert notices(midtrans)[-1]["refunds"] == [{**first, "bank_confirmed_at": "2026-11-29 10:01:00"}]
    assert [state for state, _ in states(midtrans)] == ["pending", "settlement", "refund", "refund"]
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}


def test_before_the_settlement_nothing_is_refunded(midtrans: Gateway) -> None:
    charge(midtrans)
    assert refund(midtrans).body["status_code"] == "412"


def test_gopay_is_refunded_in_parts_until_nothing_is_left(midtrans: Gateway) -> None:
    paid(midtrans)
    answer = refund(midtrans, "r-1", amount=799_000).body
    assert (answer["transaction_status"], answer["refund_amount"]) == ("partial_refund", "799000.00")
    assert refund(midtrans, "r-2", amount=1_000_001).body["status_code"] == "414"
    assert refund(midtrans, "r-3", amount=1_000_000).body["transaction_status"] == "refund"
    assert refund(midtrans, "r-4", amount=1).body["status_code"] == "412"
    midtrans.control.advance(timedelta(minutes=1))
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}


@pytest.mark.parametrize(
    "more",
    [
        {"kind": "bank_transfer", "bank_transfer": {"bank": "bca"}},
        {"kind": "bank_transfer", "bank_transfer": {"bank": "permata"}},
        {"kind": "echannel", "echannel": {"bill_info1": "x", "bill_info2": "y"}},
    ],
)
def test_a_bank_transfer_has_no_refund(midtrans: Gateway, more: dict[str, Any]) -> None:
    paid(midtrans, **more)
    assert refund(midtrans).body["status_code"] == "412"
    assert status(midtrans)["transaction_status"] == "settlement"


def test_shopee_refunds_all_or_nothing(midtrans: Gateway) -> None:
    paid(midtrans, **SHOPEE)
    assert refund(midtrans, amount=1).body["status_code"] == "414"
    assert refund(midtrans, amount=AMOUNT).body["status_code"] == "200"


@pytest.mark.parametrize(
    ("hour", "minute", "code"), [(23, 54, "200"), (23, 55, "202"), (0, 0, "202"), (5, 59, "202"), (6, 0, "200")]
)
def test_shopee_refunds_nothing_at_night(midtrans: Gateway, hour: int, minute: int, code: str) -> None:
    paid(midtrans, **SHOPEE)
    midtrans.control.freeze(datetime(2026, 11, 30, hour, minute, tzinfo=UTC) - timedelta(hours=7))
    assert refund(midtrans).body["status_code"] == code


@pytest.mark.parametrize(
    ("more", "issuer", "days"),
    [
        ({}, "gopay", 45),
        ({}, "dana", 7),
        (SHOPEE, "airpay shopee", 365),
        (SHOPEE, "dana", 7),
        ({"kind": "gopay"}, "gopay", 45),
    ],
)
def test_a_refund_is_taken_within_the_window_of_its_method(
    midtrans: Gateway, more: dict[str, Any], issuer: str, days: int
) -> None:
    paid(midtrans, issuer, **more)
    midtrans.control.advance(days * DAY + timedelta(seconds=1))
    assert refund(midtrans).body["status_code"] == "412"
    midtrans.control.freeze(START + days * DAY)
    assert refund(midtrans).body["status_code"] == "200"


def test_a_refund_that_the_bank_refuses_may_be_tried_again_with_its_key_for_seven_days(midtrans: Gateway) -> None:
    paid(midtrans)
    midtrans.control.fault(Fault.REFUND_REFUSED, times=3)
    answer = refund(midtrans).body
    wanted = ("202", "settlement", "0.00")
    assert (answer["status_code"], answer["transaction_status"], answer["refund_amount"]) == wanted
    assert "refunds" not in status(midtrans)
    midtrans.control.advance(7 * DAY)
    assert refund(midtrans).body["status_code"] == "202"
    midtrans.control.advance(timedelta(seconds=1))
    assert refund(midtrans).body["status_code"] == "406"
    midtrans.control.clear_faults()
    assert refund(midtrans, "r-2").body["status_code"] == "200"
    assert refund(midtrans, "r-2").body["status_code"] == "406"


def test_a_refund_may_fail_after_it_was_taken(midtrans: Gateway) -> None:
    paid(midtrans)
    midtrans.control.fault(Fault.REFUND_FAILS)
    assert refund(midtrans).body["transaction_status"] == "refund"
    midtrans.control.advance(timedelta(minutes=1))
    found = status(midtrans)
    assert (found["transaction_status"], found["refund_amount"]) == ("settlement", "0.00")
    assert "refunds" not in found
    assert states(midtrans)[-1] == ("settlement", "202")
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}
    assert refund(midtrans).body["status_code"] == "200"
    midtrans.control.advance(timedelta(minutes=1))
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}


def test_a_refund_needs_balance_and_a_window(midtrans: Gateway) -> None:
    paid(midtrans)
    midtrans.control.fault(Fault.REFUND_BALANCE)
    midtrans.control.fault(Fault.REFUND_WINDOW, reference="fs-2")
    assert refund(midtrans).body["status_code"] == "414"
    assert refund(midtrans).body["status_code"] == "200"


@pytest.mark.parametrize(
    "body",
    [{"refund_key": "a b"}, {"refund_key": ""}, {"amount": 0}, {"amount": "5"}, {"amount": 1.0}, {"reason": "x" * 256}],
)
def test_a_refund_with_wrong_fields_is_refused(midtrans: Gateway, body: dict[str, Any]) -> None:
    paid(midtrans)
    assert call(midtrans, "POST", "/v2/fs-1/refund", body).body["status_code"] == "400"
    assert status(midtrans)["transaction_status"] == "settlement"


def test_the_older_path_of_refunds_works_as_well(midtrans: Gateway) -> None:
    paid(midtrans)
    assert call(midtrans, "POST", "/v2/fs-1/refund/online/direct", {"refund_key": "r"}).body["status_code"] == "200"
