"""The hot door, called through its ASGI interface as a server calls it."""

import time
from typing import Any

import pytest
import redis
from pytest_django import Settings

from flashsale.gate import bridge, scripts
from flashsale.gate.client import GateDown
from flashsale.life import enter, places, sale_control
from flashsale.life.schedule import publish
from flashsale.life.status import bytes_at_most
from flashsale.models import Allocation, Reservation, Sale
from flashsale.rules.identity import Axis
from flashsale.rules.tokens import Proof
from flashsale.web.hot import proofs
from flashsale.web.hot.door import serve
from flashsale.web.hot.http import HotRequest
from tests.factories import PHONE, card_of, draft_sale, identity, open_now
from tests.web.asgi import Reply, send_request
from tests.web.partner import Partner, key_of

OURS: dict[str, Any] = {"origin": "https://testserver", "host": "testserver"}


def _proofs(sale: Sale, name: str) -> str:
    """The cookies of a shopper who has proven phone and e-mail."""
    card = card_of(sale)
    digests = enter.digest_identity(card=card, values=identity(name))
    tokens = {
        axis: places.keyring().seal(proofs.KIND, Proof(card.campaign, axis, digest, 1).pack())
        for axis, digest in digests.items()
    }
    return "; ".join(f"{proofs.cookie_name(card.campaign, axis)}={token}" for axis, token in tokens.items())


def _page(sale: Sale, verb: str, body: object = None, **headers: Any) -> Reply:
    return send_request("POST", f"/v1/sales/{sale.code}/lines/mi.com/{verb}", body or {}, **(OURS | headers))


def _place(reply: Reply) -> str:
    return reply.headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize(
    ("peer", "sent_s_ago", "waited_s"),
    [("10.0.0.7", 8.0, 8.0), ("10.0.0.7", 21.0, 0.0), ("10.0.0.7", -900.0, 0.0), ("192.0.2.1", 8.0, 0.0)],
    ids=["our proxy", "longer than any proxy waits", "a clock 15 minutes ahead", "a client"],
)
def test_only_our_proxy_is_believed_about_when_it_got_a_request(
    settings: Settings, peer: str, sent_s_ago: float, waited_s: float
) -> None:
    settings.FLASHSALE_TRUSTED_PROXIES = ["10.0.0.0/8"]
    headers = [(b"x-request-start", b"t=%.3f" % (time.time() - sent_s_ago)), (b"x-another-door", b"@another_door")]
    request = HotRequest({"method": "POST", "client": (peer, 1), "headers": headers}, None)
    assert (request.waited_s > 7.9) == (waited_s == 8.0)
    assert waited_s or request.waited_s == 0.0
    other = ((b"x-accel-redirect", b"@another_door"),) if peer.startswith("10.") else ()
    assert request.to_another_door == other
    assert bool(request.came) == peer.startswith("10.")
    for text in (b"", b"t=", b"t=nan", b"t=inf", b"yesterday"):
        assert (
            HotRequest({"method": "POST", "client": (peer, 1), "headers": [(headers[0][0], text)]}, None).waited_s
            == 0.0
        )


def test_a_door_that_cannot_reach_redis_names_the_location_that_asks_another_door(
    sale: Sale, lazada: Partner, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: Any, **__: Any) -> Any:
        raise GateDown

    place = lazada.enter("ani")
    open_now(sale)
    open_now(sale)
    monkeypatch.setattr(scripts, "reserve", down)
    monkeypatch.setattr(scripts, "look", down)
    for trusted, asked, answered in (
        (["127.0.0.0/8"], "@another_door", "@another_door"), (["127.0.0.0/8"], "/elsewhere", None),
        ([], "@another_door", None),
    ):  # fmt: skip
        settings.FLASHSALE_TRUSTED_PROXIES = trusted
        items = {"place": place, "items": [{"sku": PHONE, "quantity": 1}]}
        reply = lazada.post("reserve", items, x_another_door=asked, idempotency_key="once")
        assert (reply.code, reply.headers.get("x-accel-redirect")) == ((503, "unknown"), answered)
        reply = lazada.post("look", {"place": place}, x_another_door=asked)
        assert (reply.code, "x-accel-redirect" in reply.headers) == ((503, "not_ready"), False)


class TestPartner:
    """Requests of a partner, with its key."""

    def test_a_gate_that_does_not_know_the_sale_is_asked_once(
        self, gate: redis.Redis, sale: Sale, lazada: Partner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate.hset(scripts.keys_of(card_of(sale)).state, "run", "of another server")
        entered, asked = scripts.enter, []
        monkeypatch.setattr(scripts, "enter", lambda *who, **how: asked.append(who) or entered(*who, **how))
        reply = lazada.post("enter", {"identity": identity("ani")})
        assert (reply.code, len(asked)) == ((503, "not_ready"), 1)

    def test_a_shopper_is_entered_drawn_called_and_holds_a_unit(self, sale: Sale, lazada: Partner) -> None:
        place = lazada.enter("ani")
        waiting = lazada.post("look", {"place": place})
        assert (waiting.status, waiting.json["state"], waiting.json["number"]) == (200, "waiting", None)
        open_now(sale)
        open_now(sale)
        called = lazada.post("look", {"place": place}).json
        assert (called["state"], called["number"], called["called"], called["cohort"]) == ("called", 1, 1, 1)
        reply = lazada.reserve(place)
        assert reply.status == 201
        assert reply.headers["cache-control"] == "no-store"
        row = Reservation.objects.get()
        assert reply.json == {
            "reservation": str(row.pk), "deadline": row.deadline_ms, "amount": 1_799_000, "currency": "IDR",
            "items": [{"sku": PHONE, "price": 1_799_000}], "made": row.deadline_ms - 900_000,
            "partner_reference": None, "metadata": {},
        }  # fmt: skip

    def test_entering_again_gives_the_same_place(self, lazada: Partner) -> None:
        body = {"identity": {axis.value: value for axis, value in identity("ani").items()}}
        first, second = lazada.post("enter", body), lazada.post("enter", body)
        assert (first.status, second.status) == (201, 200)
        assert (first.json["index"], second.json["index"]) == (1, 1)
        assert (first.json["entered"], first.json["line"]) == (True, "lazada")

    def test_the_same_request_again_gets_the_same_answer(self, sale: Sale, lazada: Partner) -> None:
        place = lazada.enter("ani")
        open_now(sale)
        open_now(sale)
        first, second = lazada.reserve(place), lazada.reserve(place)
        assert (first.status, first.body) == (second.status, second.body)
        assert [reply.headers.get("idempotency-replayed") for reply in (first, second)] == [None, "true"]
        assert Reservation.objects.count() == 1

    def test_a_place_can_be_given_up(self, lazada: Partner) -> None:
        place = lazada.enter("ani")
        reply = lazada.post("leave", {"place": place})
        assert (reply.status, reply.json) == (200, {"left": True})
        assert lazada.post("look", {"place": place}).json["state"] == "left"

    def test_entering_with_a_place_in_another_line_is_refused(self, lazada: Partner, akulaku: Partner) -> None:
        lazada.enter("ani")
        body = {"identity": {axis.value: value for axis, value in identity("ani").items()}}
        assert akulaku.post("enter", body).code == (409, "place_elsewhere")

    def test_a_key_opens_only_the_lines_of_its_channel(self, lazada: Partner, akulaku: Partner) -> None:
        place = akulaku.enter("budi")
        stolen = Partner(lazada.key, lazada.sale, "akulaku")
        assert stolen.post("look", {"place": place}).code == (403, "forbidden")
        assert lazada.post("look", {"place": place}).code == (403, "foreign_token")


class TestOwnPage:
    """Requests of our own page, with its cookies."""

    def test_a_proven_shopper_gets_a_place_in_a_cookie_that_no_script_reads(self, sale: Sale) -> None:
        reply = _page(sale, "enter", cookie=_proofs(sale, "ani"))
        assert (reply.status, reply.json) == (201, {"line": "mi.com", "index": 1})
        name, _, rest = reply.headers["set-cookie"].partition("=")
        assert name == f"fs_place_{sale.code}"
        assert rest.partition("; ")[2] == "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure"

    def test_the_cookie_is_the_place(self, sale: Sale) -> None:
        cookie = _place(_page(sale, "enter", cookie=_proofs(sale, "ani")))
        open_now(sale)
        open_now(sale)
        assert _page(sale, "look", cookie=cookie).json["state"] == "called"
        wish = {"items": [{"sku": PHONE, "quantity": 1}]}
        assert _page(sale, "reserve", wish, cookie=cookie, idempotency_key="k").status == 201
        assert _page(sale, "leave", cookie=cookie).code == (409, "place_spent")

    def test_a_demo_without_tls_may_keep_the_cookie(self, sale: Sale, settings: Settings) -> None:
        settings.FLASHSALE_DEMO = True
        reply = _page(sale, "enter", cookie=_proofs(sale, "ani"))
        assert reply.headers["set-cookie"].endswith("; SameSite=Lax")

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://testserver.evil.example", "http://["])
    def test_another_site_is_refused(self, sale: Sale, origin: str) -> None:
        reply = _page(sale, "enter", cookie=_proofs(sale, "ani"), origin=origin)
        assert reply.code == (403, "forbidden")

    def test_a_trusted_origin_may_stand_in(self, sale: Sale, settings: Settings) -> None:
        settings.CSRF_TRUSTED_ORIGINS = ["https://shop.example"]
        assert _page(sale, "enter", cookie=_proofs(sale, "ani"), origin="https://shop.example").status == 201

    def test_entering_without_proofs_is_refused(self, sale: Sale) -> None:
        reply = _page(sale, "enter")
        assert reply.code == (403, "unproven")
        assert reply.json["detail"] == "To prove: email, phone."

    def test_proofs_of_another_campaign_or_axis_prove_nothing(self, sale: Sale) -> None:
        card = card_of(sale)
        seal = places.keyring().seal
        foreign = seal(proofs.KIND, Proof(card.campaign + 1, Axis.PHONE, bytes(16), 1).pack())
        crossed = seal(proofs.KIND, Proof(card.campaign, Axis.PHONE, bytes(16), 1).pack())
        phone, email = (proofs.cookie_name(card.campaign, axis) for axis in (Axis.PHONE, Axis.EMAIL))
        reply = _page(sale, "enter", cookie=f"{phone}={foreign}; {email}={crossed}")
        assert reply.code == (403, "unproven")

    def test_the_page_leads_to_its_own_line_only(self, sale: Sale) -> None:
        reply = send_request("POST", f"/v1/sales/{sale.code}/lines/lazada/enter", {}, **OURS)
        assert reply.code == (401, "unauthenticated")
        assert reply.headers["www-authenticate"] == "Bearer"


class TestStatus:
    """The status document that all shoppers poll."""

    def _ask(self, sale: Sale, method: str = "GET", **headers: Any) -> Reply:
        return send_request(method, f"/v1/sales/{sale.code}/lines/lazada/status", **headers)

    def test_it_is_small_public_and_says_how_the_line_stands(self, sale: Sale, lazada: Partner) -> None:
        lazada.enter("ani")
        reply = self._ask(sale)
        assert (reply.status, reply.headers["cache-control"]) == (200, "public, max-age=0, s-maxage=1")
        assert len(reply.body) <= 1024
        document = reply.json
        assert {name: document[name] for name in ("phase", "entered", "called", "free", "seed", "cohort")} == {
            "phase": "lobby", "entered": 1, "called": 0, "free": 10, "seed": "", "cohort": None,
        }  # fmt: skip

    @pytest.mark.usefixtures("transactional_db", "gate")
    def test_it_stays_small_for_all_that_a_sale_may_offer_and_say(self) -> None:
        skus = [f"phone-{number:04}" for number in range(12)]
        offers = [{"sku": sku, "name": "Phone", "price": 1} for sku in skus]
        line = {"code": "lazada", "channels": ["lazada"], "stock": dict.fromkeys(skus, 1000)}
        sale = open_now(publish(sale=draft_sale(code="s" * 40, offers=offers, lines=[line])))
        sale_control.pause(sale=sale, message='é"' * 50)
        reply = self._ask(sale)
        assert (len(reply.json["offers"]), reply.json["message"]) == (12, 'é"' * 50)
        card = card_of(sale)
        assert 900 < len(reply.body) <= bytes_at_most(card, card.lines[0]) <= 1024

    def test_what_did_not_change_is_not_sent_again(self, sale: Sale) -> None:
        etag = self._ask(sale).headers["etag"]
        again = self._ask(sale, if_none_match=etag)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
        assert self._ask(sale, if_none_match='"other"').status == 200

    def test_head_says_how_long_it_would_be(self, sale: Sale) -> None:
        reply = self._ask(sale, "HEAD")
        assert (reply.status, reply.body) == (200, b"")
        assert int(reply.headers["content-length"]) > 100


def test_a_request_id_is_kept_or_made(sale: Sale) -> None:
    path = f"/v1/sales/{sale.code}/lines/lazada/status"
    assert send_request("GET", path, x_request_id="abc-1").headers["x-request-id"] == "abc-1"
    assert len(send_request("GET", path, x_request_id="evil\r\nid").headers["x-request-id"]) == 16


def test_everything_else_goes_to_django(sale: Sale) -> None:
    assert send_request("GET", f"/v1/sales/{sale.code}").json["code"] == sale.code
    assert send_request("GET", f"/v1/sales/{sale.code}/lines/lazada/unknown").code == (404, "not_found")
    assert send_request("GET", "/v1/nothing").code == (404, "not_found")


def test_a_client_that_goes_away_is_not_answered(sale: Sale, lazada: Partner) -> None:
    assert bridge.run(_answers_after_disconnect(f"/v1/sales/{sale.code}/lines/lazada/enter", lazada.key)) == []


async def _answers_after_disconnect(path: str, key: str) -> list[Any]:
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    await serve(scope, receive, send)
    return said


class TestADoorOfTheirOwn:
    """A direct allocation: the partner reserves without a line."""

    @pytest.mark.usefixtures("transactional_db", "gate")
    def test_sells_as_fast_as_its_partner_asks_whatever_the_block_of_indexes_is(self) -> None:
        line = {"code": "door", "channels": ["lazada"], "stock": {PHONE: 70}, "mode": "direct"}
        sale = open_now(publish(sale=draft_sale(lines=[line])))
        lazada = Partner(key_of(sale.campaign, "lazada"), sale, "door")
        assert Allocation.objects.get(sale=sale).block == 50
        answers = []
        for n in range(70):
            who = {axis.value: value for axis, value in identity(f"person-{n}").items()}
            wish = {"identity": who, "items": [{"sku": PHONE, "quantity": 1}]}
            answers.append(lazada.post("reserve", wish, idempotency_key=str(n)).status)
        assert answers == [201] * 70
        assert Allocation.objects.get(sale=sale).block > 70
