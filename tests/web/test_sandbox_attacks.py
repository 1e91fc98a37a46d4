"""What a partner does with a test key to fill the memory, to reach staff, and to open what belongs to others."""

import asyncio
import threading
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.utils import timezone

from flashsale.admin import dashboard
from flashsale.gate import bridge, quotas, refusal_counts
from flashsale.life import deliver, sandbox_calls
from flashsale.life import webhooks as hooks
from flashsale.life.waiting_money import ACTIONS
from flashsale.models import (
    Channel,
    PartnerKey,
    Record,
    Refund,
    Sale,
    SandboxCall,
    partner_key,
)
from flashsale.rules.outcomes import Refused
from flashsale.rules.quotas import QuotaClass
from flashsale.web import limits
from flashsale.web.api import keys, webhooks
from flashsale.web.hot import partners
from tests.factories import PHONE, rewrite
from tests.web.asgi import send_request
from tests.web.partner import Partner, Shop, Signer, hot
from tests.web.sandbox_partner import SandboxPartner, ordinary, sandbox_key

HOUR, DAY = timedelta(hours=1), timedelta(hours=25)


@pytest.fixture
def tester(sale: Sale) -> SandboxPartner:
    return SandboxPartner(sandbox_key(sale))


def nonces_in(gate: redis.Redis) -> int:
    return sum(1 for _ in gate.scan_iter("fs:nonce:*"))


def test_a_signed_bundle_costs_redis_a_nonce_only_within_the_quota(
    tester: SandboxPartner, gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "wall_clock", SimpleNamespace(now_s=lambda: 1_900_000_000.0))
    tester.make()
    Channel.objects.filter(campaign=tester.sale.campaign).update(quotas="enter:3,look:3")
    partners.forget_keys()
    signer = Signer(tester.partner)
    # Malformed, empty, and of persons who are refused before they are counted.
    bodies: list[Any] = [
        {},
        {"items": []},
        {"items": [1]},
        {"items": [{"x": 1}]},
        {"items": [{"identity": ordinary()}]},
    ]
    for verb in ("enter-bundle", "look-bundle"):
        for body in bodies * 4:
            path = f"/v1/sales/{tester.sale.code}/lines/test/{verb}"
            tester.partner.post(verb, body, **signer.headers("POST", path, body))
    assert nonces_in(gate) == 6
    # Above the quota each person still gets an answer, and the signature is still checked.
    body = {"items": [{"identity": ordinary()}] * 2}
    headers = signer.headers("POST", f"/v1/sales/{tester.sale.code}/lines/test/enter-bundle", body)
    reply = tester.partner.post("enter-bundle", body, **headers)
    assert [item["status"] for item in reply.json["items"]] == [429, 429]
    forged = tester.partner.post("enter-bundle", body, **headers | {"flashsale_signature": "v1=" + "0" * 64})
    assert forged.code == (401, "bad_signature")
    assert nonces_in(gate) == 6


def test_calls_in_many_test_sales_are_stored_up_to_a_bound_of_the_channel(
    tester: SandboxPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_calls, "CALLS_MAX", 3)
    monkeypatch.setattr(sandbox_calls, "CALLS_MAX_OF_CHANNEL", 7)
    for _ in range(4):
        tester.make()
        for _ in range(4):
            tester.enter(ordinary())
    assert SandboxCall.objects.count() == 7


def test_the_quota_of_a_test_channel_is_no_alarm_on_the_first_page_of_the_admin(
    tester: SandboxPartner, lazada: Partner
) -> None:
    live = Channel.objects.get(campaign=lazada.sale.campaign, code="lazada")
    for channel in (live.pk, Channel.objects.get(campaign__sandbox_of=live).pk):
        bridge.run(quotas.raise_alarm(channel=channel, quota_class=QuotaClass.ENTER, used=500, quota=600))
    root = User.objects.create_superuser("root")
    assert [channel for channel, _, _ in dashboard._quota_alarms(root)] == [live]


def test_money_that_a_partner_says_it_took_in_a_test_sale_waits_for_no_person(sale: Sale) -> None:
    rewrite(Channel.objects.filter(campaign=sale.campaign, code="lazada"), payment_accounts="partner")
    tester = SandboxPartner(sandbox_key(sale))
    (place,) = tester.make().called(who := ordinary())
    id_ = tester.reserve(place).json["reservation"]
    order = tester.order(who, "LZD-1") | {"method": "partner"}
    assert hot(tester.partner, id_, order, key="pay-1").status == 200
    assert tester.shop.post(id_, "cancel", {"reason": "buyer_request"}).status_code == 200
    tester.sweep()
    assert Refund.objects.get().state == "sent"
    for later in (timedelta(0), timedelta(days=40)):
        now = timezone.now() + later
        assert [action.name for action in ACTIONS if action.waiting(now).exists()] == []


def test_one_channel_leaves_turns_in_the_sandbox_to_the_others() -> None:
    gate = threading.Event()

    async def flood() -> list[Any]:
        busy = [asyncio.ensure_future(sandbox_calls.in_turn(1, gate.wait, 10)) for _ in range(100)]
        await asyncio.sleep(0)
        other = asyncio.ensure_future(sandbox_calls.in_turn(2, lambda: "answered"))
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*busy, other, return_exceptions=True)

    found = bridge.run(flood())
    assert found[-1] == "answered"
    assert sum(isinstance(one, Refused) for one in found) == 100 - sandbox_calls.WAITING_MAX_OF_CHANNEL
    assert not sandbox_calls._waiting


def test_nothing_of_one_side_opens_anything_of_the_other(
    sale: Sale, tester: SandboxPartner, lazada: Partner, held: dict[str, Any]
) -> None:
    who = ordinary()
    (place,) = tester.make().called(who)
    first, sales = tester.sale, [tester.sale.code]
    id_ = tester.reserve(place).json["reservation"]
    assert tester.confirm(id_, who, "test-later").json["state"] == "held"
    reference = tester.shop.get(f"/{id_}").json()["payment"]["reference"]
    stranger = SandboxPartner(sandbox_key(sale, "akulaku")).make()
    sales.append(stranger.sale.code)
    # Tokens of one sale at another one.
    for partner, sku in ((stranger.partner, "TEST-A"), (lazada, PHONE)):
        for verb in ("look", "leave", "wait", "receipt"):
            assert partner.post(verb, {"place": place}).json["code"] in {"foreign_token", "bad_token"}, verb
        assert partner.reserve(place, sku=sku, key="k9").json["code"] in {"foreign_token", "bad_token"}
    # References and codes of others.
    assert stranger.post(f"payments/{reference}", {"paid": True}).json()["code"] == "not_found"
    for code in (sale.code, first.code):
        found = stranger.client.get("/v1/test/conformance", {"since_sale": code})
        assert found.json()["code"] == "not_found"
    live = Shop(lazada)
    assert live.client.post(f"/v1/test/payments/{reference}", {"paid": True}, "application/json").status_code == 404
    for odd in ("%00", f"{reference}%00", "x" * 3000):
        assert stranger.post(f"payments/{odd}", {"paid": True}).json()["code"] == "not_found"
    # Filters, bundles and cursors.
    for code in (sale.code, first.code):
        assert stranger.client.get("/v1/reservations", {"sale": code}).json()["results"] == []
    items = stranger.partner.post("look-bundle", {"items": [{"place": place}]}).json["items"]
    assert [item["problem"]["code"] for item in items] == ["foreign_token"]
    cursor = live.client.get("/v1/events").json()["after"]
    seen = [*stranger.client.get("/v1/events").json()["results"]]
    seen += stranger.client.get("/v1/events", {"after": cursor}).json()["results"]
    assert {event["sale"] for event in seen} <= {stranger.sale.code}
    # The same keys belong to each channel alone.
    assert tester.shop.post(id_, "release", key="shared").json()["state"] == "released"
    assert live.post(held["reservation"], "release", key="shared").json()["state"] == "released"
    assert tester.shop.post(held["reservation"], "release", key="shared").json()["code"] in {"key_reused", "not_found"}
    hook = tester.client.post(
        "/v1/webhooks", {"url": "https://shop.example/hooks"}, "application/json", headers={"idempotency-key": "w1"}
    ).json()["id"]
    for other in (stranger.client, live.client):
        assert other.get(f"/v1/webhooks/{hook}").status_code == 404
        tried = other.post(f"/v1/webhooks/{hook}/test", {}, "application/json", headers={"idempotency-key": "w2"})
        assert tried.status_code == 404


def test_changes_that_add_records_for_ever_have_a_limit(
    tester: SandboxPartner, lazada: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for view in (keys.RotateKey, *webhooks_that_record()):
        assert view.limit_of_writes == limits.CHANGES, view
    few = limits.Limit("changes", 3, limits.HOUR)
    for view in (keys.RotateKey, *webhooks_that_record()):
        monkeypatch.setattr(view, "limit_of_writes", few)
    client = tester.client

    def post(path: str, body: Any, number: int) -> Any:
        return client.post(path, body, "application/json", headers={"idempotency-key": f"c{number}"})

    row = post("/v1/webhooks", {"url": "https://shop.example/hooks"}, 1).json()
    assert client.patch(f"/v1/webhooks/{row['id']}", {"enabled": False}, "application/json").status_code == 200
    assert post("/v1/keys/rotate", {}, 2).status_code == 200
    before = Record.objects.count()
    codes = [
        post("/v1/keys/rotate", {}, 3).json()["code"],
        post("/v1/webhooks", {"url": "https://shop.example/other"}, 4).json()["code"],
        client.patch(f"/v1/webhooks/{row['id']}", {"enabled": True}, "application/json").json()["code"],
        client.delete(f"/v1/webhooks/{row['id']}").json()["code"],
        post(f"/v1/webhooks/{row['id']}/rotate", {}, 5).json()["code"],
    ]
    assert set(codes) == {"too_many_requests"}
    assert Record.objects.count() == before
    # Reading, and the live channel of the same partner, go on.
    assert client.get(f"/v1/webhooks/{row['id']}").status_code == 200
    assert (
        Shop(lazada)
        .client.post("/v1/keys/rotate", {}, "application/json", headers={"idempotency-key": "live"})
        .status_code
        == 200
    )


def test_refusals_at_codes_that_no_sale_has_are_not_counted(sale: Sale, lazada: Partner) -> None:
    refusal_counts._counts.clear()
    for code in ("invented", "x" * 5000):
        path = f"/v1/sales/{code}/lines/lazada/enter"
        assert send_request("POST", path, {}, host="evil.example").json["code"] == "malformed"
    reply = send_request("POST", "/v1/sales/invented/lines/lazada/enter?x=1", {})
    assert reply.code == (422, "unknown_field")
    assert not refusal_counts._counts
    assert lazada.post("enter", {"identity": {}}).code == (422, "bad_identity")
    assert refusal_counts._counts[sale.code] == {"enter bad_identity": 1}


def test_keys_that_a_partner_has_rotated_away_are_not_read_for_ever(
    lazada: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partner_key, "ENDED_MAX", 2)
    rows, texts = [PartnerKey.objects.get(digest=PartnerKey.digest_of(lazada.key))], [lazada.key]
    for _ in range(5):
        row, text, _old = PartnerKey.rotate(rows[-1].pk, grace_s=0)
        PartnerKey.objects.filter(pk=row.pk).update(last_used_at=timezone.now())
        rows, texts = [*rows, row], [*texts, text]
    read = {partner.key for partner in partners._active_keys().values() if partner.channel == row.channel_id}
    assert read == {one.pk for one in rows[-4:]}
    # The callers of the last ones still hear why they are refused.
    codes = [Partner(text, lazada.sale, "lazada").post("enter", {}).json["code"] for text in texts]
    assert codes == ["unauthenticated"] * 2 + ["key_expired"] * 3 + ["bad_identity"]


def test_messages_of_a_test_channel_go_out_ten_a_second(sale: Sale, tester: SandboxPartner) -> None:
    live = Channel.objects.get(campaign=sale.campaign, code="lazada")
    paces = []
    for channel in (live, live.sandbox.channels.get()):
        row = hooks.make(channel=channel.pk, url="https://shop.example/hooks", types=[], by=f"channel:{channel.pk}")
        hooks.send_test(webhook=row)
        claimed = dict(deliver._claim_due())
        found = deliver._next_round(row.pk, claimed[row.pk])
        assert found
        paces.append(found.pace)
    assert paces == [deliver.PACE, 10.0]
    turns = SimpleNamespace(next_at=0.0, pace=10.0)
    began = time.monotonic()
    bridge.run(turns_of(turns, 4))
    assert turns.next_at >= began + 0.3


async def turns_of(lane: Any, count: int) -> None:
    for _ in range(count):
        await deliver._wait_for_turn(lane)


def test_writes_in_the_sandbox_of_a_channel_that_signs_are_signed(tester: SandboxPartner, sale: Sale) -> None:
    channel = Channel.objects.get(campaign__sandbox_of__code="lazada", campaign__sandbox_of__campaign=sale.campaign)
    Channel.objects.filter(pk=channel.pk).update(signatures_required=True)
    partners.forget_keys()
    signer, path = Signer(Partner(tester.key, sale, "test")), "/v1/test/sales"

    def post(where: str, body: str, headers: dict[str, str]) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        found = tester.client.generic("POST", where, body, "application/json", headers=named)
        return found.status_code, found.json().get("code", "")

    signed = signer.headers("POST", path, {}, key="ci-1")
    bad = (401, "bad_signature")
    assert post(path, "{}", {"idempotency_key": "ci-1"}) == (401, "signature_required")
    assert post(path, "", signed) == bad
    assert post(path, "{} ", signed) == bad
    assert post(path + "?x=1", "{}", signed) == bad
    assert post("/v1/test/payments/sales", "{}", signed) == bad
    assert post(path, "{}", signed | {"idempotency_key": "ci-2"}) == bad
    assert post(path, "{}", signed | {"idempotency_key": "ci-1, ci-1"}) == bad
    assert post(path, "{}", signed | {"flashsale_signature": f"{signed['flashsale_signature']}, v1=0"}) == bad
    assert post(path, "{}", signer.headers("PUT", path, {}, key="ci-1")) == bad
    for ahead in (-302, 302):
        assert post(path, "{}", signer.headers("POST", path, {}, key="ci-1", at=time.time() + ahead))[1] == "clock_skew"
    assert Sale.objects.filter(campaign=channel.campaign).count() == 0
    assert post(path, "{}", signed) == (200, "")
    # The path is read as it was before its encoding, in the signature and in the choice of the call.
    for spelling in (path, "/v1/test/%73ales", "/v1/%74est/sales"):
        assert post(spelling, "{}", signed) == (409, "nonce_reused")
    assert Sale.objects.filter(campaign=channel.campaign).count() == 1


def webhooks_that_record() -> tuple[Any, ...]:
    return webhooks.WebhookList, webhooks.WebhookDetail, webhooks.RotateWebhook
