"""Quotas by class: one class never uses up another, processes share their counts, and staff hear at four fifths."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.test import Client

from flashsale.gate import bridge, quotas
from flashsale.gate.client import GateDown
from flashsale.gate.quotas import QuotaAlarm, alarms, flush, take
from flashsale.models import Channel, Reservation, Sale
from flashsale.rules.quotas import DEFAULTS, QuotaClass
from flashsale.web import limits
from flashsale.web.hot import partners
from tests.factories import identity
from tests.web.asgi import send_request
from tests.web.partner import ORDER, Partner, hot

WHO = {"identity": {axis.value: value for axis, value in identity("ani").items()}}
MINUTE = 1_900_000_000 // 60 * 60


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The clock of the hot door's quotas, which stands at the beginning of a minute."""
    now = {"s": MINUTE}
    fake = SimpleNamespace(now_s=lambda: now["s"], now_ms=lambda: now["s"] * 1000)
    monkeypatch.setattr(quotas, "wall_clock", fake)
    return now


@pytest.fixture
def allow(lazada: Partner) -> Callable[[str], None]:
    """Gives Lazada's channel quotas of its own."""

    def change(text: str) -> None:
        Channel.objects.filter(code="lazada").update(quotas=text)
        partners.forget_keys()

    return change


def test_looking_uses_up_nothing_but_looking(
    lazada: Partner, allow: Callable[[str], None], clock: dict[str, int]
) -> None:
    place = lazada.enter("ani")
    allow("look:2")
    clock["s"] += 13
    first, second, third = (lazada.post("look", {"place": place}) for _ in range(3))
    assert [reply.status for reply in (first, second, third)] == [200, 200, 429]
    assert first.headers["ratelimit-policy"] == '"look";q=2;w=60'
    assert [reply.headers["ratelimit"] for reply in (first, second, third)] == [
        '"look";r=1;t=47', '"look";r=0;t=47', '"look";r=0;t=47',
    ]  # fmt: skip
    assert third.code == (429, "too_many_requests")
    assert (third.headers["retry-after"], third.json["detail"]) == (
        "47", "2 calls of the class look are allowed in a minute.",
    )  # fmt: skip
    assert lazada.post("enter", WHO).status == 200
    assert lazada.post("receipt", {"place": place}).status == 429
    clock["s"] += 47
    assert lazada.post("look", {"place": place}).status == 200


def test_reading_uses_up_nothing_of_paying(
    held: dict[str, Any], lazada: Partner, allow: Callable[[str], None], stopped_clock: None
) -> None:
    allow("read:1, look:1")
    client = Client(headers=lazada.http)
    first, second = client.get("/v1/reservations"), client.get("/v1/reservations")
    assert (first.status_code, second.status_code, second.json()["code"]) == (200, 429, "too_many_requests")
    assert first["RateLimit-Policy"] == '"api partner";q=1;w=60'
    paid = hot(lazada, held["reservation"], ORDER)
    assert paid.json["state"] == "confirmed"
    assert paid.headers["ratelimit-policy"] == f'"pay";q={DEFAULTS[QuotaClass.PAY]};w=60'
    assert paid.headers["ratelimit"] == f'"pay";r={DEFAULTS[QuotaClass.PAY] - 1};t=60'


def test_a_payment_above_the_quota_is_refused_at_both_doors_and_nothing_is_charged(
    held: dict[str, Any], lazada: Partner, allow: Callable[[str], None], stopped_clock: None
) -> None:
    allow("pay:1, write:1")
    wrong = ORDER | {"price": 1}
    assert hot(lazada, held["reservation"], wrong).code == (422, "wrong_price")
    assert hot(lazada, held["reservation"], ORDER).code == (429, "too_many_requests")
    client = Client(headers=lazada.http | {"idempotency-key": "k1"})
    path = f"/v1/reservations/{held['reservation']}/confirm"
    codes = [client.post(path, body, "application/json").json()["code"] for body in (wrong, ORDER)]
    assert codes == ["wrong_price", "too_many_requests"]
    assert Reservation.objects.get().state == "held"
    release = path.replace("confirm", "release")
    released = client.post(release, {}, "application/json", headers={"idempotency-key": "k2"})
    assert released.json()["state"] == "released"


def test_each_person_of_a_bundle_counts(lazada: Partner, allow: Callable[[str], None], sale: Sale) -> None:
    allow("enter:3")
    people = [{"identity": {"phone": f"0812 1000 000{n}", "email": f"p{n}@x.id"}} for n in range(5)]
    reply = lazada.post("enter-bundle", {"items": people})
    assert [item["status"] for item in reply.json["items"]] == [201, 201, 201, 429, 429]
    assert reply.json["items"][4]["problem"]["retry_after_s"] == 60
    assert reply.headers["ratelimit"] == '"enter";r=0;t=60'


def test_our_own_page_has_no_quota(sale: Sale) -> None:
    path = f"/v1/sales/{sale.code}/lines/mi.com/look"
    reply = send_request("POST", path, {}, origin="http://testserver")
    assert "ratelimit" not in reply.headers
    assert quotas._windows == {}


def counts(calls: int, quota: int = 10) -> list[int]:
    """What is left after each of so many calls; -1 for a refused one."""
    used = [take(channel=7, quota_class=QuotaClass.LOOK, quota=quota) for _ in range(calls)]
    return [-1 if usage.used > quota else usage.remaining for usage in used]


def test_processes_learn_of_one_anothers_calls_within_a_second(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: dict[Any, Any] = quotas._windows
    theirs: dict[Any, Any] = {}
    assert counts(6) == [9, 8, 7, 6, 5, 4]
    bridge.run(flush())
    monkeypatch.setattr(quotas, "_windows", theirs)
    assert counts(3) == [9, 8, 7]  # another process does not know yet
    bridge.run(flush())
    assert counts(2) == [0, -1]  # now it does
    bridge.run(flush())
    monkeypatch.setattr(quotas, "_windows", ours)
    assert counts(1) == [3]
    bridge.run(flush())
    assert counts(1) == [-1]
    (key,) = gate.scan_iter("fs:quotas:*")
    assert gate.hgetall(key) == {b"7 look": b"11"}
    assert 0 < gate.ttl(key) <= quotas.WINDOW_KEPT_S


def test_while_redis_does_not_answer_each_process_counts_alone(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> Any:
        raise GateDown("gone")

    assert counts(6) == [9, 8, 7, 6, 5, 4]
    with monkeypatch.context() as patch:
        patch.setattr(quotas, "gate", down)
        with pytest.raises(GateDown):
            bridge.run(flush())
    assert counts(5) == [3, 2, 1, 0, -1]


def test_staff_hear_once_a_minute_of_a_quota_that_is_used_up_to_four_fifths(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch, clock: dict[str, int]
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(quotas.log, "warning", lambda _text, **fields: lines.append(fields), raising=False)
    for calls in (7, 1, 1, 5):
        counts(calls)
        bridge.run(flush())
    assert lines == [{"channel": 7, "quota_class": "look", "used": 8, "quota": 10}]
    assert bridge.run(alarms()) == [QuotaAlarm(7, "look", MINUTE * 1000, 8, 10)]
    clock["s"] += 60
    counts(9)
    bridge.run(flush())
    assert bridge.run(alarms()) == [QuotaAlarm(7, "look", (MINUTE + 60) * 1000, 9, 10)]
    clock["s"] += quotas.ALARM_KEPT_S
    assert bridge.run(alarms()) == []


def test_staff_hear_of_the_rest_api_too(lazada: Partner, allow: Callable[[str], None], stopped_clock: None) -> None:
    allow("read:5")
    channel = Channel.objects.get(code="lazada", keys__isnull=False).pk
    client = Client(headers=lazada.http)
    for read, expected in ((3, []), (1, [4]), (3, [4])):
        for _ in range(read):
            client.get("/v1/reservations")
        assert [(alarm.channel, alarm.used) for alarm in bridge.run(alarms())] == [(channel, used) for used in expected]


def test_an_own_quota_replaces_that_of_its_class_only() -> None:
    assert limits.of_partner(QuotaClass.READ, None) == limits.API_PARTNER
    assert limits.of_partner(QuotaClass.WRITE, 5) == limits.Limit("api partner writes", 5, 60)
    assert limits.of_partner(QuotaClass.PAY, None).max_calls == DEFAULTS[QuotaClass.PAY]
