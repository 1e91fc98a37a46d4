"""Notifications of the simulated Midtrans go where they should, and are repeated by its schedule."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from simulation.gateways.client import ControlRefused, Gateway
from tests.gateways import START, Shop, call, charge, shop_server

WAITS = [2, 10, 30, 90, 210]  # minutes


@pytest.fixture
def shop(midtrans: Gateway) -> Iterator[Shop]:
    midtrans.control.freeze(START)
    with shop_server() as shop:
        midtrans.control.notify(shop.url)
        yield shop
        midtrans.control.delivered()


@pytest.mark.parametrize(
    ("status", "repeats"),
    [(200, 0), (204, 0), (301, 0), (302, 0), (303, 0), (500, 1), (503, 4), (400, 2), (404, 2), (418, 5), (502, 5)],
)
def test_the_answer_says_how_often_a_notice_is_repeated(
    midtrans: Gateway, shop: Shop, status: int, repeats: int
) -> None:
    shop.answers = [status] * 9
    charge(midtrans, kind="bank_transfer", bank_transfer={"bank": "bca"})
    midtrans.control.delivered()
    assert len(shop.received) == 1
    for number, minutes in enumerate(WAITS[:repeats], start=1):
        midtrans.control.advance(timedelta(minutes=minutes, seconds=-1))
        assert len(shop.received) == number
        midtrans.control.advance(timedelta(seconds=1))
        assert len(shop.received) == number + 1
    midtrans.control.advance(timedelta(hours=12))
    assert midtrans.control.webhooks("fs-1")[0].answers == [status] * (repeats + 1)


def test_a_shop_that_does_not_answer_gets_five_repeats(midtrans: Gateway, shop: Shop) -> None:
    midtrans.control.notify("http://127.0.0.1:9/")
    charge(midtrans, kind="bank_transfer", bank_transfer={"bank": "bca"})
    midtrans.control.advance(timedelta(minutes=sum(WAITS)))
    (hook,) = midtrans.control.webhooks("fs-1")
    assert (hook.answers, hook.waiting) == ([0] * 6, False)


def test_a_repeat_stops_when_the_shop_takes_it(midtrans: Gateway, shop: Shop) -> None:
    shop.answers = [503, 503, 200]
    charge(midtrans, kind="bank_transfer", bank_transfer={"bank": "bca"})
    midtrans.control.advance(timedelta(hours=5))
    assert midtrans.control.webhooks("fs-1")[0].answers == [503, 503, 200]
    assert len({one.body for one in shop.received}) == 1


def test_a_temporary_redirect_is_followed_with_the_body(midtrans: Gateway, shop: Shop) -> None:
    with shop_server() as other:
        shop.answers, shop.location = [307], other.url
        charge(midtrans)
        midtrans.control.delivered()
    assert [one.body for one in other.received] == [shop.received[0].body]
    assert midtrans.control.webhooks("fs-1")[0].answers == [200]


def test_a_charge_may_name_other_addresses(midtrans: Gateway, shop: Shop) -> None:
    with shop_server() as other:
        charge(midtrans, "fs-1", headers={"X-Override-Notification": other.url})
        charge(midtrans, "fs-2", headers={"X-Append-Notification": f"{other.url}/a, {other.url}/b"})
        midtrans.control.delivered()
    assert [one.json["order_id"] for one in shop.received] == ["fs-2"]
    assert sorted((one.json["order_id"], one.path) for one in other.received) == [
        ("fs-1", "/webhooks"),
        ("fs-2", "/webhooks/a"),
        ("fs-2", "/webhooks/b"),
    ]


def test_a_charge_may_name_three_addresses_and_not_four(midtrans: Gateway, shop: Shop) -> None:
    for number, code in [(3, "201"), (4, "400")]:
        headers = {"X-Override-Notification": ",".join([shop.url] * number)}
        assert charge(midtrans, f"fs-{number}", headers=headers).body["status_code"] == code


@pytest.mark.parametrize("url", ["http://shop.example/", "http://10.0.0.1/", "https://localhost.example/"])
def test_the_simulator_keeps_what_is_not_for_this_machine(midtrans: Gateway, shop: Shop, url: str) -> None:
    assert charge(midtrans, headers={"X-Override-Notification": url}).body["status_code"] == "201"
    midtrans.control.advance(timedelta(days=1))
    assert [(hook.url, hook.answers, hook.waiting) for hook in midtrans.control.webhooks()] == [(url, [], False)] * 2
    assert shop.received == []
    with pytest.raises(ControlRefused, match="only http"):
        midtrans.control.notify(url)


def test_a_redirect_to_another_machine_is_not_followed(midtrans: Gateway, shop: Shop) -> None:
    shop.answers, shop.location = [307], "http://shop.example/"
    charge(midtrans)
    midtrans.control.delivered()
    assert midtrans.control.webhooks("fs-1")[0].answers == [0]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1", "http://[", "http://"])
def test_what_is_no_address_is_refused(midtrans: Gateway, url: str) -> None:
    assert charge(midtrans, headers={"X-Override-Notification": url}).body["status_code"] == "400"


def test_the_notices_of_an_order_come_in_their_order(midtrans: Gateway, shop: Shop) -> None:
    charge(midtrans)
    midtrans.control.pay(midtrans.control.codes("fs-1")[0].value)
    call(midtrans, "POST", "/v2/fs-1/refund", {"refund_key": "r"})
    midtrans.control.advance(timedelta(minutes=1))
    assert [body["transaction_status"] for body in shop.bodies] == ["pending", "settlement", "refund", "refund"]
