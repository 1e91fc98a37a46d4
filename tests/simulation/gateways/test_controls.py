"""The controls of simulated gateways: processes, clock, ledger, settlement files, and what they refuse."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulation.gateways.client import Code, ControlRefused, Entry, Gateway, Sums
from simulation.gateways.codes import check_sum
from tests.gateways import AMOUNT, START, call, charge, request, shop_server, wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["midtrans", "xendit"])
def test_a_gateway_says_that_it_is_ready_and_ends_on_sigterm(name: Any, tmp_path: Path) -> None:
    gateway = Gateway(name, log=tmp_path / "log").start()
    gateway.stop()
    assert gateway.process.exit_code == 0
    log = (tmp_path / "log").read_text()
    assert log.startswith(f"{name} ready: API {gateway.url}, controls http://127.0.0.1:")
    assert len(log.splitlines()) == 1


def test_a_scaled_schedule_repeats_by_itself(tmp_path: Path) -> None:
    with shop_server() as shop, Gateway("midtrans", log=tmp_path / "log", retry_scale=1e-5) as gateway:
        gateway.control.notify(shop.url)
        shop.answers = [503, 503, 200]
        charge(gateway)
        wait_until(lambda: len(shop.received) == 3)
        gateway.control.delivered()
        assert gateway.control.webhooks()[0].answers == [503, 503, 200]


def test_the_gateways_know_nothing_of_the_product() -> None:
    modules = "simulation.gateways.midtrans, simulation.gateways.xendit, simulation.gateways.client"
    foreign = "{name.partition('.')[0] for name in sys.modules} & {'flashsale', 'django', 'config'}"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print({foreign})"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "set()\n"


def test_the_clock_stands_moves_and_runs(midtrans: Gateway) -> None:
    control = midtrans.control
    assert abs(control.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert control.freeze(START) == START
    assert control.advance(timedelta(hours=1)) == START + timedelta(hours=1)
    assert control.now() == START + timedelta(hours=1)
    control.run_clock()
    assert timedelta(0) < control.now() - START - timedelta(hours=1) < timedelta(seconds=5)
    control.reset()
    assert abs(control.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_running_clock_does_what_falls_due_by_itself(midtrans: Gateway) -> None:
    # 20 seconds are the least that Midtrans takes, so the rest of the way is a move.
    charge(midtrans, custom_expiry={"expiry_duration": 20, "unit": "second"})
    midtrans.control.advance(timedelta(seconds=19.5))
    assert midtrans.control.codes("fs-1")[0].state == "pending"
    wait_until(lambda: midtrans.control.codes("fs-1")[0].state != "pending")
    assert [hook.event for hook in midtrans.control.webhooks()] == ["pending", "expire"]


def test_the_ledger_says_when_what_came_and_went(midtrans: Gateway) -> None:
    midtrans.control.freeze(START)
    transaction = charge(midtrans).body["transaction_id"]
    charge(midtrans, "fs-2")
    midtrans.control.pay(midtrans.control.codes("fs-1")[0].value)
    call(midtrans, "POST", "/v2/fs-1/refund", {"refund_key": "r", "amount": 5})
    midtrans.control.advance(timedelta(minutes=2))
    came = Entry("fs-1", "in", AMOUNT, "payment", transaction, "qris", START)
    went = Entry("fs-1", "out", 5, "refund", transaction, "qris", START + timedelta(minutes=1))
    assert midtrans.control.entries() == midtrans.control.entries("fs-1") == [came, went]
    assert midtrans.control.entries("fs-2") == []
    assert midtrans.control.ledger() == {"fs-1": Sums(AMOUNT, 5)}


def _day(xendit: Gateway) -> list[str]:
    """Three payments on 29 November in Jakarta and one on the next day. Returns the ids of the payments."""
    ids = []
    for number in range(4):
        xendit.control.freeze(START if number < 3 else datetime(2026, 11, 29, 17, 0, tzinfo=UTC))
        ids.append(request(xendit, f"fs-{number}", amount=1000 + number).body["payment_request_id"])
        xendit.control.pay(xendit.control.codes(f"fs-{number}")[0].value)
    return ids


def test_a_settlement_file_has_the_money_of_a_day_in_jakarta(xendit: Gateway) -> None:
    ids = _day(xendit)
    rows = [f"2026-11-29 10:00:00,fs-{number},{ids[number]},QRIS,payment,{1000 + number},IDR" for number in range(3)]
    head = "date_time,reference,payment_id,method,type,amount,currency"
    found = xendit.control.settlement(date(2026, 11, 29))
    assert found == ("\r\n".join([head, *rows, ""]), [])
    next_day = f"2026-11-30 00:00:00,fs-3,{ids[3]},QRIS,payment,1003,IDR"
    assert xendit.control.settlement(date(2026, 11, 30)).csv == f"{head}\r\n{next_day}\r\n"
    assert xendit.control.settlement(date(2026, 12, 1)).csv == f"{head}\r\n"


def test_a_settlement_file_may_have_three_wrong_rows(xendit: Gateway) -> None:
    ids = _day(xendit)
    found = xendit.control.settlement(date(2026, 11, 29), wrong=True)
    assert found.csv.splitlines()[1:] == [
        f"2026-11-29 10:00:00,fs-1,{ids[1]},QRIS,payment,1002,IDR",
        f"2026-11-29 10:00:00,fs-2,{ids[2]},QRIS,payment,1002,IDR",
        "2026-11-29 10:00:00,extra-20261129,extra-20261129,QRIS,payment,1002,IDR",
    ]
    assert [(row["kind"], row["reference"], row["amount"]) for row in found.wrong] == [
        ("missing", "fs-0", "1000"),
        ("amount", "fs-1", "1002"),
        ("extra", "extra-20261129", "1002"),
    ]
    with pytest.raises(ControlRefused, match="2026-11-30 has 1 rows; a file with wrong rows needs 3"):
        xendit.control.settlement(date(2026, 11, 30), wrong=True)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"colour": "red"}, "There is no setting 'colour'"),
        ({"calls_a_minute": "5"}, "`calls_a_minute` is '5'; it must be of type int"),
        ({"calls_a_minute": True}, "must be of type int"),
        ({"mirror_http": 1}, "must be of type bool"),
        ({"notify_url": "http://shop.example/"}, "only http"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_and_changes_nothing(
    midtrans: Gateway, values: dict[str, Any], why: str
) -> None:
    with pytest.raises(ControlRefused, match=why):
        midtrans.control.settings(**{"imposed_fee": 7, **values})
    charge(midtrans)
    midtrans.control.pay(midtrans.control.codes("fs-1")[0].value)
    assert call(midtrans, "GET", "/v2/fs-1/status").body["gross_amount"] == "1799000.00"


@pytest.mark.parametrize("amount", [0, -5, 1.5])
def test_a_buyer_cannot_pay_nothing(midtrans: Gateway, amount: Any) -> None:
    charge(midtrans)
    with pytest.raises(ControlRefused, match="must be a whole number above 0"):
        midtrans.control.pay(midtrans.control.codes("fs-1")[0].value, amount=amount, force=True)
    assert midtrans.control.ledger() == {}


def test_the_clock_does_not_go_back_by_a_move(midtrans: Gateway) -> None:
    with pytest.raises(ControlRefused, match="must be between 0 and 800 days"):
        midtrans.control.advance(timedelta(seconds=-1))


def test_a_gateway_keeps_a_bounded_number_of_payments(midtrans: Gateway, xendit: Gateway) -> None:
    for gateway in (midtrans, xendit):
        gateway.control.settings(payments_max=1)
    assert (charge(midtrans, "fs-1").status, request(xendit, "fs-1").status) == (200, 201)
    assert (charge(midtrans, "fs-2").status, request(xendit, "fs-2").status) == (503, 503)
    assert [gateway.control.codes("fs-2") for gateway in (midtrans, xendit)] == [[], []]


def test_a_reset_forgets_everything(midtrans: Gateway) -> None:
    charge(midtrans)
    midtrans.control.pay(midtrans.control.codes("fs-1")[0].value)
    midtrans.control.rotate(key="other")
    midtrans.control.reset()
    control = midtrans.control
    assert (control.ledger(), control.webhooks(), control.codes("fs-1"), control.calls()) == ({}, [], [], {})
    assert charge(midtrans).body["status_code"] == "201"


def test_codes_say_what_a_buyer_can_pay_with(xendit: Gateway) -> None:
    made = request(xendit, channel="BCA_VIRTUAL_ACCOUNT").body
    number = made["actions"][0]["value"]
    assert xendit.control.codes("fs-1") == [Code("va", number, made["payment_request_id"], "REQUIRES_ACTION")]


def test_the_check_sum_of_a_qr_string_is_the_published_one(midtrans: Gateway) -> None:
    assert check_sum(b"123456789") == 0x29B1
    text = charge(midtrans).body["qr_string"]
    assert text[-4:] == f"{check_sum(text[:-4].encode()):04X}"
    assert len(text) <= 512
