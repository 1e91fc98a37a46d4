"""What can go wrong at a gateway goes wrong at the simulated ones, and is counted exactly."""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from simulation.gateways.client import ControlRefused, Gateway, Sums
from simulation.gateways.faults import Fault
from tests.gateways import AMOUNT, START, Answer, Shop, call, charge, request, shop_server

HOUR = timedelta(hours=1)


@pytest.fixture(params=["midtrans", "xendit"])
def gateway(request: pytest.FixtureRequest) -> Gateway:
    found: Gateway = request.getfixturevalue(request.param)
    found.control.freeze(START)
    return found


@pytest.fixture
def shop(gateway: Gateway) -> Iterator[Shop]:
    with shop_server() as shop:
        gateway.control.notify(shop.url)
        yield shop
        gateway.control.delivered()


def begin(gateway: Gateway, reference: str = "fs-1") -> Answer:
    return (charge if gateway.name == "midtrans" else request)(gateway, reference)


def code(gateway: Gateway, reference: str = "fs-1") -> str:
    return gateway.control.codes(reference)[-1].value


def name(gateway: Gateway, reference: str = "fs-1") -> str:
    return gateway.control.codes(reference)[-1].payment


def look(gateway: Gateway, reference: str = "fs-1") -> Answer:
    path = "/v2/{}/status" if gateway.name == "midtrans" else "/v3/payment_requests/{}"
    return call(gateway, "GET", path.format(name(gateway, reference)))


def close(gateway: Gateway) -> Answer:
    path = "/v2/{}/expire" if gateway.name == "midtrans" else "/v3/payment_requests/{}/cancel"
    return call(gateway, "POST", path.format(name(gateway)))


def refund(gateway: Gateway, reference: str = "fs-1") -> Answer:
    if gateway.name == "midtrans":
        return call(gateway, "POST", f"/v2/{reference}/refund", {"refund_key": "r-1"})
    body = {"payment_request_id": name(gateway, reference), "reference_id": "r-1", "reason": "OTHERS"}
    return call(gateway, "POST", "/refunds", body)


def state(gateway: Gateway) -> str:
    return gateway.control.codes("fs-1")[-1].state


def events(gateway: Gateway) -> list[str]:
    """The webhooks after the one that tells of the beginning, which Midtrans alone sends."""
    return [hook.event for hook in gateway.control.webhooks("fs-1") if hook.event != "pending"]


PAID = {"midtrans": "settlement", "xendit": "SUCCEEDED"}
TOLD = {"midtrans": "settlement", "xendit": "payment.capture"}


def test_an_answer_is_dropped_after_the_payment_was_made(gateway: Gateway) -> None:
    gateway.control.fault(Fault.DROP, on="begin", reference="fs-1")
    with pytest.raises(http.client.RemoteDisconnected):
        begin(gateway)
    assert len(gateway.control.codes("fs-1")) == 1
    again = begin(gateway)
    # Midtrans knows the reference, and Xendit makes a second live code.
    assert (again.status, again.body.get("status_code")) == {"midtrans": (200, "406"), "xendit": (201, None)}[
        gateway.name
    ]
    assert len(gateway.control.codes("fs-1")) == {"midtrans": 1, "xendit": 2}[gateway.name]


def test_a_server_error_hides_that_the_payment_was_made(gateway: Gateway) -> None:
    gateway.control.fault(Fault.ERROR, on="begin")
    assert begin(gateway).status == 500
    assert len(gateway.control.codes("fs-1")) == 1
    assert look(gateway).status == 200


def test_an_unavailable_gateway_has_done_nothing(gateway: Gateway) -> None:
    gateway.control.fault(Fault.UNAVAILABLE, on="begin")
    answer = begin(gateway)
    wanted = {"midtrans": (200, "503"), "xendit": (503, "CHANNEL_UNAVAILABLE")}[gateway.name]
    assert (answer.status, answer.body.get("status_code") or answer.body["error_code"]) == wanted
    assert gateway.control.codes("fs-1") == []


def test_an_error_may_have_a_code_that_the_fault_names(gateway: Gateway) -> None:
    fields = {"midtrans": {"status_code": "505"}, "xendit": {"error_code": "ISSUER_UNAVAILABLE"}}[gateway.name]
    gateway.control.fault(Fault.UNAVAILABLE, fields=fields)
    assert fields.items() <= begin(gateway).body.items()


def test_a_call_may_hit_the_rate_limit_at_any_time(gateway: Gateway) -> None:
    gateway.control.fault(Fault.RATE_LIMIT, on="begin")
    assert begin(gateway).status == 429
    assert gateway.control.codes("fs-1") == []


def test_the_connection_is_reset_in_the_middle_of_the_body(gateway: Gateway) -> None:
    gateway.control.fault(Fault.RESET, on="begin")
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        begin(gateway)
    assert len(gateway.control.codes("fs-1")) == 1


def test_a_slow_answer_comes_after_its_time_while_others_are_served(gateway: Gateway) -> None:
    gateway.control.fault(Fault.SLOW, on="begin", reference="fs-1", seconds=3.0)
    began = time.monotonic()
    slow = threading.Thread(target=begin, args=[gateway])
    slow.start()
    assert begin(gateway, "fs-2").body
    between = time.monotonic() - began
    slow.join()
    assert between < 3.0 <= time.monotonic() - began
    gateway.control.fault(Fault.SLOW)
    assert [rule["seconds"] for rule in gateway.control.faults()] == [3.0, 20.0]


def test_a_body_may_be_huge(gateway: Gateway) -> None:
    gateway.control.fault(Fault.HUGE, on="begin")
    assert len(begin(gateway).body["padding"]) == 5 * 1024 * 1024


def test_numbers_may_be_strings(gateway: Gateway) -> None:
    gateway.control.fault(Fault.STRINGS, on="begin")
    gateway.control.fault(Fault.WEBHOOK_STRINGS, times=None)
    answer = begin(gateway).body
    gateway.control.pay(code(gateway))
    told = json.loads(gateway.control.webhooks("fs-1")[-1].body)
    if gateway.name == "midtrans":
        assert (answer["gross_amount"], told["gross_amount"]) == ("1799000.00", "1799000.00")
    else:
        assert answer["request_amount"] == "1799000"
        assert told["data"]["captures"][0]["capture_amount"] == "1799000"


def test_money_may_come_as_the_closing_does_which_then_fails(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.fault(Fault.PAID_BEFORE_CLOSE, reference="fs-1")
    body = close(gateway).body
    assert (body.get("status_code") or body["error_code"]) in {"412", "INELIGIBLE_TRANSACTION_STATUS"}
    assert state(gateway) == PAID[gateway.name]
    assert gateway.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}


def test_money_may_come_after_the_closing_succeeded(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.fault(Fault.PAID_AFTER_CLOSE, reference="fs-1")
    body = close(gateway).body
    assert (body.get("status_code"), body.get("status")) in {("407", None), (None, "CANCELED")}
    assert state(gateway) == {"midtrans": "settlement", "xendit": "CANCELED"}[gateway.name]
    assert events(gateway)[-1] == TOLD[gateway.name]
    assert gateway.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}


def test_a_webhook_may_come_before_the_answer(gateway: Gateway, shop: Shop) -> None:
    gateway.control.fault(Fault.WEBHOOK_EARLY, on="begin")
    begin(gateway)
    assert len(shop.received) == {"midtrans": 2, "xendit": 1}[gateway.name]
    assert state(gateway) == PAID[gateway.name]
    gateway.control.fault(Fault.WEBHOOK_EARLY, on="refund")
    refund(gateway)
    assert len(shop.received) == {"midtrans": 4, "xendit": 2}[gateway.name]
    assert gateway.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}


def test_a_webhook_may_never_come(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.fault(Fault.WEBHOOK_NEVER)
    gateway.control.pay(code(gateway))
    gateway.control.advance(24 * HOUR)
    assert (events(gateway), state(gateway)) == ([], PAID[gateway.name])


def test_a_webhook_may_come_twice(gateway: Gateway, shop: Shop) -> None:
    begin(gateway)
    gateway.control.fault(Fault.WEBHOOK_TWICE)
    gateway.control.pay(code(gateway))
    gateway.control.delivered()
    assert events(gateway) == [TOLD[gateway.name]] * 2
    assert shop.received[-1].body == shop.received[-2].body


def test_a_webhook_may_come_hours_late(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.fault(Fault.WEBHOOK_LATE)
    gateway.control.pay(code(gateway))
    gateway.control.advance(3 * HOUR - timedelta(seconds=1))
    assert events(gateway) == []
    gateway.control.advance(timedelta(seconds=1))
    assert events(gateway) == [TOLD[gateway.name]]


def test_webhooks_may_come_in_reversed_order(gateway: Gateway, shop: Shop) -> None:
    begin(gateway)
    gateway.control.fault(Fault.WEBHOOK_REVERSED)
    gateway.control.pay(code(gateway))
    assert events(gateway) == []
    refund(gateway)
    gateway.control.advance(timedelta(minutes=1))
    after = {"midtrans": ["refund", "settlement", "refund"], "xendit": ["refund.succeeded", "payment.capture"]}
    assert events(gateway) == after[gateway.name]
    assert [one.body for one in shop.received] == [hook.body for hook in gateway.control.webhooks()]


def test_several_webhooks_may_come_with_the_newest_first(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.fault(Fault.WEBHOOK_REVERSED, times=2)
    for amount in (1, 10, 100):
        gateway.control.pay(code(gateway), amount=amount, force=True)
    bodies = [json.loads(hook.body) for hook in gateway.control.webhooks() if hook.event == TOLD[gateway.name]]
    if gateway.name == "midtrans":
        assert [body["gross_amount"] for body in bodies] == ["111.00", "11.00", "1.00"]
    else:
        assert [body["data"]["captures"][0]["capture_amount"] for body in bodies] == [100, 10, 1]


def test_an_old_webhook_may_come_again(gateway: Gateway, shop: Shop) -> None:
    begin(gateway)
    gateway.control.pay(code(gateway))
    first = gateway.control.webhooks("fs-1")[0]
    gateway.control.advance(48 * HOUR)
    gateway.control.replay(first.number)
    assert shop.received[-1].body == shop.received[0].body == first.body
    with pytest.raises(ControlRefused, match="There is no webhook 99"):
        gateway.control.replay(99)


def test_a_webhook_may_carry_a_valid_signature_over_another_status(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.pay(code(gateway))
    field = {"midtrans": "transaction_status", "xendit": "data.status"}[gateway.name]
    gateway.control.fault(Fault.WEBHOOK_ALTERED, fields={field: "deny"})
    gateway.control.pay(code(gateway), force=True)
    true, altered = gateway.control.webhooks("fs-1")[-2:]
    forged = gateway.control.forge("fs-1", {field: "deny"}, signed="altered")
    for hook in (altered, forged):
        told = json.loads(hook.body)
        assert (told.get("data") or told)[field.rpartition(".")[2]] == "deny"
        if gateway.name == "xendit":
            assert hook.headers["x-callback-token"] == true.headers["x-callback-token"] == gateway.token
    if gateway.name == "midtrans":
        mine = json.loads(forged.body)["signature_key"]
        assert mine == look(gateway).body["signature_key"] == json.loads(altered.body)["signature_key"]


def test_a_webhook_may_be_forged(gateway: Gateway) -> None:
    begin(gateway)
    forged = gateway.control.forge("fs-1", {}, signed="no")
    true = look(gateway).body.get("signature_key")
    if gateway.name == "midtrans":
        assert json.loads(forged.body)["signature_key"] == "0" * 128 != true
        other = gateway.control.forge("fs-1", {"gross_amount": "5.00"}, signed="resigned")
        assert json.loads(other.body)["signature_key"] not in {"0" * 128, true}
    else:
        assert forged.headers["x-callback-token"] == "0" * 32
    with pytest.raises(ControlRefused, match="There is no payment of the reference"):
        gateway.control.forge("fs-9", {}, signed="no")


def test_a_refund_may_be_confirmed_twice_and_the_money_leaves_once(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.pay(code(gateway))
    gateway.control.fault(Fault.REFUND_TWICE)
    refund(gateway)
    gateway.control.advance(timedelta(minutes=1))
    first, second = gateway.control.webhooks("fs-1")[-2:]
    assert first.body == second.body
    assert gateway.control.ledger() == {"fs-1": Sums(AMOUNT, AMOUNT)}


def test_a_refund_may_be_too_late(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.pay(code(gateway))
    gateway.control.fault(Fault.REFUND_WINDOW)
    body = refund(gateway).body
    assert (body.get("status_code") or body["error_code"]) in {"412", "REFUND_NOT_SUPPORTED"}
    gateway.control.advance(HOUR)
    assert gateway.control.ledger() == {"fs-1": Sums(AMOUNT, 0)}


def test_the_key_may_be_rotated(gateway: Gateway) -> None:
    begin(gateway)
    gateway.control.pay(code(gateway))
    old = gateway.control.webhooks("fs-1")[-1]
    gateway.control.rotate(key="new", token="new-token")
    body = look(gateway).body
    assert (body.get("status_code") or body["error_code"]) in {"401", "INVALID_API_KEY"}
    gateway.control.pay(code(gateway), force=True, amount=1, hidden=False)
    new = gateway.control.webhooks("fs-1")[-1]
    if gateway.name == "midtrans":
        assert json.loads(new.body)["signature_key"] != json.loads(old.body)["signature_key"]
    else:
        assert new.headers["x-callback-token"] == "new-token"


def test_the_clock_may_be_five_minutes_off(gateway: Gateway) -> None:
    gateway.control.offset(timedelta(minutes=5))
    body = begin(gateway).body
    told = {"midtrans": ("transaction_time", "2026-11-29 10:05:00"), "xendit": ("created", "2026-11-29T03:05:00.000Z")}
    field, at = told[gateway.name]
    assert body[field] == at
    gateway.control.offset(timedelta(0))
    assert gateway.control.now() == START


def test_a_fault_hits_as_often_as_it_should_and_only_where_it_should(gateway: Gateway) -> None:
    gateway.control.fault(Fault.UNAVAILABLE, reference="fs-2", on="begin", times=2)
    assert begin(gateway, "fs-1").status in {200, 201}
    for _ in range(2):
        begin(gateway, "fs-2")
    assert gateway.control.codes("fs-2") == []
    assert [rule["hits"] for rule in gateway.control.faults()] == [2]
    begin(gateway, "fs-2")
    assert len(gateway.control.codes("fs-2")) == 1


def test_a_rate_hits_the_same_references_in_any_order(gateway: Gateway) -> None:
    references = [f"fs-{number}" for number in range(60)]
    hit = []
    for turn in (references, references[::-1]):
        gateway.control.reset()
        gateway.control.fault(Fault.UNAVAILABLE, on="begin", rate=0.3, seed=7, times=None)
        for reference in turn:
            begin(gateway, reference)
        hit.append({reference for reference in references if not gateway.control.codes(reference)})
    assert hit[0] == hit[1]
    assert 8 <= len(hit[0]) <= 28


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"rate": 0.0}, "`rate` is 0.0"),
        ({"rate": 1.5}, "`rate` is 1.5"),
        ({"on": "sing"}, "sing"),
    ],
)
def test_a_fault_that_cannot_hit_is_refused(gateway: Gateway, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ControlRefused, match=why):
        gateway.control.fault(Fault.DROP, **wrong)
    assert gateway.control.faults() == []


def test_after_a_storm_the_ledger_has_exactly_what_buyers_paid_and_got_back(gateway: Gateway) -> None:
    for number, kind in enumerate([Fault.DROP, Fault.ERROR, Fault.UNAVAILABLE, Fault.RESET]):
        gateway.control.fault(kind, rate=0.15, seed=number, times=None)
    gateway.control.fault(Fault.REFUND_FAILS, rate=0.3, seed=9, times=None)
    chance = random.Random(5)
    paid: dict[str, int] = {}
    for reference in (f"fs-{number}" for number in range(60)):
        for work in (begin, refund):
            try:
                if work is begin or gateway.control.codes(reference):
                    work(gateway, reference)
            except (OSError, http.client.HTTPException):
                pass
            for one in gateway.control.codes(reference) if work is begin else []:
                for force in (False, True)[: chance.randint(0, 2)]:
                    if gateway.control.pay(one.value, force=force).accepted:
                        paid[reference] = paid.get(reference, 0) + AMOUNT
    gateway.control.advance(HOUR)
    ledger = gateway.control.ledger()
    assert {reference: sums.money_in for reference, sums in ledger.items()} == paid
    assert all(sums.money_out in {0, sums.money_in} for sums in ledger.values())
    back = [entry for entry in gateway.control.entries() if entry.direction == "out"]
    assert {entry.why for entry in back} == {"refund"}
    assert sum(entry.amount for entry in back) == sum(sums.money_out for sums in ledger.values()) > 0
    assert 0 < len(back) < len(paid)
