"""Signed requests: what is refused changes nothing, a replay is refused, and an honest retry gets the first answer."""

import asyncio
import json
import time
from typing import Any

import pytest
import redis
from django.test import Client
from pytest_django import Settings

from flashsale.gate import bridge, nonces
from flashsale.gate.client import GateDown
from flashsale.gate.client import gate as gate_of_loop
from flashsale.models import Channel, PartnerKey, PaymentAttempt, Reservation, Sale
from flashsale.rules.signing import CLOCK_WINDOW_S
from flashsale.web import signatures
from flashsale.web.hot import partners
from tests.factories import PHONE, identity, open_now
from tests.web.asgi import Reply, send_request
from tests.web.partner import ORDER, Partner, Signer, path_of

WHO = {"identity": {axis.value: value for axis, value in identity("ani").items()}}


@pytest.fixture
def signer(lazada: Partner) -> Signer:
    return Signer(lazada)


@pytest.fixture
def required(lazada: Partner) -> None:
    """Lazada's channel takes signed writes only."""
    Channel.objects.filter(code="lazada").update(signatures_required=True)
    partners.forget_keys()


def line_path(sale: Sale, verb: str) -> str:
    return f"/v1/sales/{sale.code}/lines/lazada/{verb}"


def post(partner: Partner, path: str, body: object, headers: dict[str, str]) -> Reply:
    sent: dict[str, Any] = {"authorization": f"Bearer {partner.key}"} | headers
    return send_request("POST", path, body, **sent)


def entered(sale: Sale, gate: redis.Redis) -> int:
    return sum(int(gate.hget(key, "entered") or 0) for key in gate.scan_iter(f"fs:*:line:{sale.pk}:*"))


@pytest.mark.usefixtures("required")
def test_where_signatures_are_required_each_write_at_the_door_needs_one(
    sale: Sale, lazada: Partner, signer: Signer, gate: redis.Redis
) -> None:
    for verb, body in (("enter", WHO), ("enter-bundle", {"items": [WHO]})):
        reply = lazada.post(verb, body)
        assert reply.code == (401, "signature_required")
        assert (reply.headers["www-authenticate"], entered(sale, gate)) == ("Bearer", 0)
    path = line_path(sale, "enter")
    place = post(lazada, path, WHO, signer.headers("POST", path, WHO)).json["place"]
    for verb in ("look", "wait", "receipt", "leave"):
        assert lazada.post(verb, {"place": place}).code == (401, "signature_required")
    path = line_path(sale, "look-bundle")
    body = {"items": [{"place": place}]}
    looked = post(lazada, path, body, signer.headers("POST", path, body))
    assert [item["status"] for item in looked.json["items"]] == [200]
    assert entered(sale, gate) == 1
    assert send_request("GET", line_path(sale, "status")).status == 200


@pytest.mark.usefixtures("required")
def test_a_signed_order_is_reserved_paid_and_cancelled(sale: Sale, lazada: Partner, signer: Signer) -> None:
    path = line_path(sale, "enter")
    place = post(lazada, path, WHO, signer.headers("POST", path, WHO)).json["place"]
    open_now(sale)
    open_now(sale)
    path, body = line_path(sale, "reserve"), {"place": place, "items": [{"sku": PHONE, "quantity": 1}]}
    unsigned = send_request(
        "POST", path, body, authorization=f"Bearer {lazada.key}", idempotency_key="r1"
    )  # fmt: skip
    assert unsigned.code == (401, "signature_required")
    assert not Reservation.objects.exists()
    held = post(lazada, path, body, signer.headers("POST", path, body, key="r1"))
    assert held.status == 201
    path = path_of(held.json["reservation"])
    assert post(lazada, path, ORDER, {"idempotency_key": "k1"}).code == (401, "signature_required")
    assert Reservation.objects.get().state == "held"
    assert post(lazada, path, ORDER, signer.headers("POST", path, ORDER, key="k1")).json["state"] == "confirmed"
    path, body = path.replace("confirm", "cancel"), {"reason": "buyer_request"}
    assert rest(lazada, path, body, {"idempotency_key": "c1"}).json()["code"] == "signature_required"
    assert Reservation.objects.get().state == "confirmed"
    assert rest(lazada, path, body, signer.headers("POST", path, body, key="c1")).json()["state"] == "cancelled"


def test_the_same_request_that_our_proxy_sends_to_a_second_door_is_no_replay(
    held: dict[str, Any], lazada: Partner, signer: Signer, settings: Settings
) -> None:
    path = path_of(held["reservation"])
    signed = signer.headers("POST", path, ORDER, key="k1")
    came = {"x_request_start": "t=1795361826.880"}
    settings.FLASHSALE_TRUSTED_PROXIES = ["127.0.0.0/8"]
    first = post(lazada, path, ORDER, signed | came)  # a door that answers, and nginx does not get the answer
    assert first.json["state"] == "confirmed"
    again = post(lazada, path, ORDER, signed | came)
    assert (again.body, again.headers["idempotency-replayed"]) == (first.body, "true")
    for later in ({"x_request_start": "t=1795361826.881"}, {}):
        assert post(lazada, path, ORDER, signed | later).code == (409, "nonce_reused")
    settings.FLASHSALE_TRUSTED_PROXIES = []  # a caller cannot say it
    assert post(lazada, path, ORDER, signed | came).code == (409, "nonce_reused")
    fresh = signer.headers("POST", path, ORDER, key="k1")
    assert post(lazada, path, ORDER, fresh | came).body == first.body
    settings.FLASHSALE_TRUSTED_PROXIES = ["127.0.0.0/8"]
    assert post(lazada, path, ORDER, fresh | {"x_request_start": "-"}).code == (409, "nonce_reused")


def rest(partner: Partner, path: str, body: object, headers: dict[str, str], method: str = "POST") -> Any:
    """The answer of Django, without the hot door before it."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | partner.http
    return Client().generic(
        method, path, "" if body is None else json.dumps(body), "application/json", headers=sent
    )  # fmt: skip


def test_a_signature_that_is_optional_is_checked_all_the_same(
    sale: Sale, lazada: Partner, signer: Signer, gate: redis.Redis
) -> None:
    path = line_path(sale, "enter")
    headers = signer.headers("POST", path, WHO)
    other = {"identity": {**WHO["identity"], "phone": "0812 0000 1111"}}
    assert post(lazada, path, other, headers).code == (401, "bad_signature")
    assert post(lazada, path, WHO, headers | {"flashsale_nonce": ""}).code == (401, "bad_signature")
    assert entered(sale, gate) == 0
    assert post(lazada, path, WHO, headers).status == 201
    assert lazada.post("enter", WHO).status == 200


def test_a_clock_that_is_wrong_is_told_the_servers_time(sale: Sale, lazada: Partner, signer: Signer) -> None:
    path = line_path(sale, "enter")
    for at in (time.time() - CLOCK_WINDOW_S - 2, time.time() + CLOCK_WINDOW_S + 2):
        reply = post(lazada, path, WHO, signer.headers("POST", path, WHO, at=at))
        assert reply.code == (401, "clock_skew")
        told = int(reply.json["detail"].removeprefix("The server's time is ").partition(" ")[0])
        assert abs(told - time.time()) < 5
    assert post(lazada, path, WHO, signer.headers("POST", path, WHO, at=told)).status == 201


def test_a_request_that_is_sent_again_is_refused_and_a_retry_gets_the_first_answer(
    held: dict[str, Any], lazada: Partner, signer: Signer, snapshot: Any
) -> None:
    path = path_of(held["reservation"])
    headers = signer.headers("POST", path, ORDER, key="k1")
    first = post(lazada, path, ORDER, headers)
    assert first.json["state"] == "confirmed"
    before = snapshot()
    assert post(lazada, path, ORDER, headers).code == (409, "nonce_reused")
    assert snapshot() == before
    assert rest_code(rest(lazada, path, ORDER, headers)) == (409, "nonce_reused")
    assert PaymentAttempt.objects.count() == 1
    retry = post(lazada, path, ORDER, signer.headers("POST", path, ORDER, key="k1"))
    assert (retry.status, retry.json, retry.headers["idempotency-replayed"]) == (200, first.json, "true")


def rest_code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_captured_request_cannot_be_sent_under_another_idempotency_key(
    held: dict[str, Any], lazada: Partner, signer: Signer
) -> None:
    path = path_of(held["reservation"])
    headers = signer.headers("POST", path, ORDER, key="k1") | {"idempotency_key": "k2"}
    assert post(lazada, path, ORDER, headers).code == (401, "bad_signature")
    assert Reservation.objects.get().state == "held"


def test_a_stranger_cannot_use_up_a_nonce(sale: Sale, lazada: Partner, akulaku: Partner, signer: Signer) -> None:
    path = line_path(sale, "enter")
    headers = signer.headers("POST", path, WHO)
    forged = headers | {"flashsale_signature": "v1=" + "0" * 64}
    assert post(lazada, path, WHO, forged).code == (401, "bad_signature")
    # The same nonce under another partner's key is another nonce.
    theirs, budi = path.replace("/lazada/", "/akulaku/"), {"identity": {"phone": "0812 7777 1111", "email": "b@x.id"}}
    nonce = headers["flashsale_nonce"]
    assert post(akulaku, theirs, budi, Signer(akulaku).headers("POST", theirs, budi, nonce=nonce)).status == 201
    assert post(lazada, path, WHO, headers).status == 201


@pytest.mark.usefixtures("required")
def test_reads_need_no_signature_and_a_signed_read_covers_its_query(lazada: Partner, signer: Signer) -> None:
    path = "/v1/events?limit=1"
    assert rest(lazada, path, None, {}, "GET").status_code == 200
    headers = signer.headers("GET", path)
    assert rest_code(rest(lazada, "/v1/events?limit=2", None, headers, "GET")) == (401, "bad_signature")
    assert rest(lazada, path, None, headers, "GET").status_code == 200
    assert rest_code(rest(lazada, path, None, headers, "GET")) == (409, "nonce_reused")


def test_a_key_without_a_secret_is_told_so(
    sale: Sale, lazada: Partner, signer: Signer, required: None, gate: redis.Redis
) -> None:
    PartnerKey.objects.update(sealed="")
    partners.forget_keys()
    path = line_path(sale, "enter")
    for headers, code in (({}, "signature_required"), (signer.headers("POST", path, WHO), "bad_signature")):
        reply = post(lazada, path, WHO, headers)
        assert (reply.code, reply.json["detail"]) == ((401, code), signatures.NO_SECRET)
    assert entered(sale, gate) == 0


def test_a_secret_that_another_contact_key_has_sealed_is_refused(
    sale: Sale, lazada: Partner, signer: Signer, settings: Settings
) -> None:
    settings.FLASHSALE_CONTACT_KEY = bytes(32)
    path = line_path(sale, "enter")
    reply = post(lazada, path, WHO, signer.headers("POST", path, WHO))
    assert reply.code == (401, "bad_signature")
    assert reply.json["detail"] == "Our server cannot read this key's signing secret."


def test_the_secret_is_stored_sealed_only(signer: Signer) -> None:
    row = PartnerKey.objects.get(pk=signer.key.pk)
    assert signer.secret.startswith("fs_sign_")
    assert len(signer.secret) == len("fs_sign_") + 43
    assert signer.secret not in str(vars(row))


def test_while_redis_does_not_answer_no_signed_request_is_accepted(
    held: dict[str, Any], lazada: Partner, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(**_: Any) -> bool:
        raise GateDown("gone")

    path = path_of(held["reservation"])
    with monkeypatch.context() as patch:
        patch.setattr(nonces, "is_first_use", down)
        reply = post(lazada, path, ORDER, signer.headers("POST", path, ORDER, key="k1"))
        assert reply.code == (503, "unknown")
    assert Reservation.objects.get().state == "held"
    assert post(lazada, path, ORDER, signer.headers("POST", path, ORDER, key="k1")).json["state"] == "confirmed"


def test_of_many_requests_with_one_nonce_at_once_one_is_accepted(gate: redis.Redis) -> None:
    async def asks_first(nonce: str) -> bool:
        """The control: it looks whether the nonce is there, and then stores it."""
        known = await gate_of_loop().run_command("EXISTS", nonce)
        await gate_of_loop().run_command("SET", nonce, 1)
        return not known

    async def at_once(call: Any) -> int:
        return sum(await asyncio.gather(*(call() for _ in range(50))))

    assert bridge.run(at_once(lambda: asks_first("control"))) == 50
    assert bridge.run(at_once(lambda: nonces.is_first_use(key=1, nonce="n" * 16, valid_s=300))) == 1
    (kept,) = gate.scan_iter("fs:nonce:*")
    assert 300 < gate.ttl(kept) <= 300 + nonces.MARGIN_S
