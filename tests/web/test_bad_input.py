"""Every wrong request gets a refusal with a stable code, changes nothing, and is never a 500."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from flashsale.gate import bridge, sale_cards, scripts
from flashsale.gate.sale_card import SaleCard
from flashsale.life import sale_control
from flashsale.models import Reservation, Sale
from flashsale.web.hot import http
from tests.factories import BIG_PHONE, PHONE, card_of, lobby_sale, open_now
from tests.web.asgi import Reply, send_request
from tests.web.partner import Partner, key_of

Snapshot = Callable[[], Any]
BUDI = {"phone": "081298765432", "email": "budi@example.com"}


@pytest.fixture
def place(sale: Sale, lazada: Partner) -> str:
    """A place that is called, so that a refusal comes from the rest of the request."""
    token = lazada.enter("ani")
    open_now(sale)
    open_now(sale)
    return token


def _close(sale: Sale) -> None:
    """Moves the closing of a sale to right after its opening, in Redis."""
    bridge.run(_set_closing(card_of(sale)))


async def _set_closing(card: SaleCard) -> None:
    closes = card.opens_at + 1
    await scripts.apply_decision(card, revision=99, closes=closes)
    await sale_cards.store_card(replace(card, closes_at=closes))


def _path(sale: Sale, verb: str) -> str:
    return f"/v1/sales/{sale.code}/lines/lazada/{verb}"


async def _started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def one(sku: Any = PHONE, quantity: Any = 1) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity}


class TestReserve:
    """Items that cannot be reserved."""

    WISHES: tuple[tuple[Any, tuple[int, str]], ...] = (
        *(([one(quantity=q)], (422, "bad_quantity")) for q in (0, -1, 2, 10**9, 10**300, True, "1", 1.0, None, [1])),
        ([{"sku": PHONE}], (422, "bad_quantity")),
        *(([one(sku)], (422, "unknown_offer")) for sku in ("POCO-X3", BIG_PHONE, "", "\x00", "x" * 1000)),
        ([one(), one()], (422, "duplicate_offer")),
        *((items, (400, "malformed")) for items in ([one(7)], [], [None], [one()] * 51, "all", None, one())),
    )

    def test_impossible_items_are_refused(self, lazada: Partner, place: str, snapshot: Snapshot) -> None:
        before = snapshot()
        for items, expected in self.WISHES:
            reply = lazada.post("reserve", {"place": place, "items": items}, idempotency_key="k")
            assert (items, reply.code) == (items, expected)
        assert snapshot() == before

    def test_a_missing_or_unusable_key_is_refused(self, lazada: Partner, place: str, snapshot: Snapshot) -> None:
        before = snapshot()
        refused = [lazada.reserve(place, key=key).code for key in ("", "x" * 129, "naïve")]
        assert refused == [(400, "key_missing")] * 3
        assert snapshot() == before

    def test_a_key_with_another_body_is_refused(self, lazada: Partner, place: str, snapshot: Snapshot) -> None:
        budi = lazada.enter("budi")
        lazada.reserve(place, key="k")
        before = snapshot()
        assert lazada.reserve(budi, key="k").code == (422, "key_reused")
        assert snapshot() == before

    def test_before_the_opening_nothing_is_reserved(self, lazada: Partner, snapshot: Snapshot) -> None:
        place = lazada.enter("ani")
        before = snapshot()
        assert lazada.reserve(place).code == (409, "not_open")
        assert snapshot() == before

    def test_after_the_closing_nothing_is_reserved(self, sale: Sale, lazada: Partner, place: str) -> None:
        _close(sale)
        assert lazada.reserve(place).code == (409, "closed")
        assert lazada.post("enter", {"identity": BUDI}).code == (409, "closed")
        assert Reservation.objects.count() == 0

    def test_in_a_pause_nothing_is_reserved(self, sale: Sale, lazada: Partner, place: str) -> None:
        sale_control.pause(sale=sale)
        reply = lazada.reserve(place)
        assert reply.code == (503, "paused")
        assert reply.headers["retry-after"] == str(reply.json["retry_after_s"]) == "2"

    def test_reserving_before_the_call_is_refused(self, sale: Sale, lazada: Partner) -> None:
        places = [lazada.enter(f"shopper{n}") for n in range(12)]
        open_now(sale)
        open_now(sale)
        replies = [lazada.reserve(place, key=f"k{n}") for n, place in enumerate(places)]
        refused = [reply.code for reply in replies if reply.status != 201]
        assert refused == [(409, "not_called")] * 2
        assert Reservation.objects.count() == 10


class TestToken:
    """Place tokens that are not valid."""

    @pytest.mark.parametrize("verb", ["look", "leave", "reserve"])
    def test_what_is_no_token_is_refused(self, lazada: Partner, place: str, snapshot: Snapshot, verb: str) -> None:
        before = snapshot()
        wish = {"items": [one()]} if verb == "reserve" else {}
        changed = place[:-1] + ("A" if place[-1] != "A" else "B")
        for token in ("", "fs1.", "fs1.AAAA", "x" * 5000, "fs1." + "é" * 20, changed, place + "=", place[:40]):
            reply = lazada.post(verb, {"place": token} | wish, idempotency_key="k")
            assert (token, reply.code) == (token, (400, "bad_token"))
        unfit: tuple[Any, ...] = (None, 7, ["fs1."], {})
        for wrong in unfit:
            reply = lazada.post(verb, {"place": wrong} | wish, idempotency_key="k")
            assert (wrong, reply.code) == (wrong, (400, "malformed"))
        assert snapshot() == before

    def test_a_token_of_another_sale_is_refused(self, sale: Sale, lazada: Partner, snapshot: Snapshot) -> None:
        other = lobby_sale(sale.campaign, channels=("lazada",))
        place = Partner(lazada.key, other, "lazada").enter("ani")
        before = snapshot()
        assert lazada.reserve(place).code == (403, "foreign_token")
        assert snapshot() == before


class TestEnter:
    """Identities that are not valid."""

    MAIL, NUMBER = "a@example.com", "08123456789"
    IDENTITIES: tuple[Any, ...] = (
        None, [], "ani", {}, {"phone": NUMBER}, {"email": MAIL}, {"phone": "", "email": MAIL},
        {"phone": "12", "email": MAIL}, {"phone": NUMBER, "email": "nobody"}, {"phone": 8123456789, "email": MAIL},
        {"phone": NUMBER, "email": MAIL, "shoe size": "43"}, {"phone": NUMBER, "email": "a" * 300 + "@example.com"},
        {"phone": "0812\x003456789", "email": MAIL},
    )  # fmt: skip

    def test_a_missing_or_impossible_value_is_refused(self, lazada: Partner, snapshot: Snapshot) -> None:
        before = snapshot()
        for identity in self.IDENTITIES:
            reply = lazada.post("enter", {"identity": identity})
            assert (identity, reply.code) == (identity, (422, "bad_identity"))
            assert self.NUMBER not in reply.body.decode()
        assert snapshot() == before


class TestHttp:
    """Bodies, content types, methods and paths that are not valid."""

    BODIES = (
        b"", b"{", b"nonsense", b"[]", b"1", b"null", b'"text"', b'{"identity": NaN}', b"[" * 8000,
        b'{"identity": {"phone": "\xff\xfe"}}', '{"identity": {}}'.encode("utf-16"),
        b'{"identity": {"phone": "\\ud800"}}', b'{"a": ' + b"9" * 5000 + b"}",
    )  # fmt: skip
    PATHS = (
        "/v1/sales/nothing/lines/lazada/status", "/v1/sales/{sale}/lines/nothing/status",
        "/v1/sales//lines/lazada/status", "/v1/sales/ünï/lines/lazada/status", "/v1/sales/{sale}/lines/\x00/status",
        "/v1/sales/{sale}\n/lines/lazada/status", "/v1/sales/" + "x" * 3000 + "/lines/lazada/status",
        "/v1/sales/\ud800/lines/lazada/status", "/v1/sales/{sale}/lines/\ud800/status",
    )  # fmt: skip

    def _send(self, lazada: Partner, *raw: bytes, **headers: Any) -> Reply:
        path = _path(lazada.sale, "enter")
        return send_request("POST", path, raw=raw, authorization=f"Bearer {lazada.key}", **headers)

    def test_what_is_no_json_object_in_utf8_is_refused(self, lazada: Partner, snapshot: Snapshot) -> None:
        before = snapshot()
        for body in self.BODIES:
            assert (body, self._send(lazada, body).code) == (body, (400, "malformed"))
        assert snapshot() == before

    def test_another_content_type_is_refused(self, lazada: Partner) -> None:
        for content_type in ("", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
            assert self._send(lazada, b"{}", content_type=content_type).code == (415, "wrong_type")
        assert self._send(lazada, b"{}", content_type="Application/JSON; charset=utf-8").code == (422, "bad_identity")

    def test_nine_kilobytes_are_refused_however_they_come(self, lazada: Partner) -> None:
        for raw in ((b"x" * 9000,), (b"x" * 5000, b"x" * 4000), (b"{}", *([b" " * 1000] * 9))):
            assert self._send(lazada, *raw).code == (413, "too_large")
        for length in ("9000", "9" * 5000):
            assert self._send(lazada, b"{}", content_length=length).code == (413, "too_large")

    def test_a_body_that_never_ends_is_given_up(
        self, lazada: Partner, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = snapshot()
        monkeypatch.setattr(http, "BODY_READ_S_MAX", 0.2)
        task = bridge.run(_started(http.end_slow_reads()))
        try:
            for raw in ((b"{",), (b"{", b'"identity"')):
                reply = send_request(
                    "POST", _path(lazada.sale, "enter"), raw=raw, ends=False, authorization=f"Bearer {lazada.key}"
                )
                assert (reply.code, reply.headers["connection"]) == ((408, "too_slow"), "close")
            assert self._send(lazada, b"{}").code == (422, "bad_identity")
        finally:
            bridge.run(_ended(task))
        assert snapshot() == before

    def test_another_method_is_refused(self, sale: Sale) -> None:
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
            reply = send_request(method, _path(sale, "enter"), {})
            assert (reply.code, reply.headers["allow"]) == ((405, "wrong_method"), "POST")

    def test_an_unknown_sale_or_line_is_not_found(self, sale: Sale) -> None:
        for path in self.PATHS:
            assert (path, send_request("GET", path.replace("{sale}", sale.code)).code) == (path, (404, "not_found"))

    def test_a_page_of_what_can_be_no_sale_is_not_there(self, sale: Sale, client: Client) -> None:
        for page in ("", "rules", "plan", "fairness", "receipt"):
            for code in ("%00", f"{sale.code}%00", "%ff", "x" * 3000, f"{sale.code}%0a"):
                assert (page, code, client.get(f"/s/{code}/{page}").status_code) == (page, code, 404)

    def test_a_cursor_that_no_page_gave_leads_nowhere(self, lazada: Partner, client: Client) -> None:
        for path in ("/v1/sales", "/v1/reservations"):
            for position in (b"0", b"%00", b"2026-13-01", b"0001-01-01T00:00:00%2B23:59", "é".encode(), b""):
                cursor = b64encode(b"p=" + position).decode()
                reply = client.get(path, {"cursor": cursor}, headers=lazada.http)
                assert (path, position, reply.status_code) == (path, position, 404)


class TestKey:
    """Partner keys that are not valid."""

    def test_a_wrong_key_is_refused(self, sale: Sale, lazada: Partner, snapshot: Snapshot) -> None:
        before = snapshot()
        for authorization in (
            "Bearer", "Bearer ", "Bearer fs_live_", "Bearer fs_live_" + "A" * 43, "Basic dXNlcjpwYXNz", lazada.key,
            "Bearer " + "A" * 7000, "Bearer fs_live_\xff" + "A" * 43, f"Bearer {lazada.key}, Bearer {lazada.key}",
        ):  # fmt: skip
            reply = send_request("POST", _path(sale, "enter"), {}, authorization=authorization)
            assert (authorization, reply.code) == (authorization, (401, "unauthenticated"))
            assert reply.headers["www-authenticate"] == "Bearer"
        assert snapshot() == before

    def test_a_key_of_another_campaign_is_refused(self, sale: Sale) -> None:
        stranger = key_of(lobby_sale(channels=("lazada",)).campaign, "lazada")
        reply = send_request("POST", _path(sale, "enter"), {}, authorization=f"Bearer {stranger}")
        assert reply.code == (403, "forbidden")
