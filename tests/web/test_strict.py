"""A member or a query parameter that an operation does not know is refused, is named, and changes nothing."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from flashsale.life import webhooks
from flashsale.models import ApiCall, Channel, Delivery, DemoCharge, PaymentAttempt, Sale, Webhook
from flashsale.providers.payments import DEMO_LATER, demo
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web.api.document import openapi
from flashsale.web.hot.http import parse_json_object
from tests.factories import PHONE, open_now
from tests.web.asgi import Reply, send_request
from tests.web.partner import ORDER, Partner
from tests.web.sandbox_partner import sandbox_key
from tests.web.shop import Visitor

Snapshot = Callable[[], Any]
DOCUMENT = json.loads(openapi())
OPERATIONS = sorted((path, method) for path, item in DOCUMENT["paths"].items() for method in item)
POSTS = [path for path, method in OPERATIONS if method == "post"]
WITH_BODY = [(path, method) for path, method in OPERATIONS if method in {"post", "patch"}]
PATCHED = "/v1/webhooks/{id}"
NOTIFICATION = "/v1/payments/demo"


class Caller:
    """A partner whose every request would have an effect, if a test did not spoil it."""

    def __init__(self, sale: Sale, lazada: Partner) -> None:
        self.key = lazada.key
        places = [lazada.enter(name) for name in ("ani", "budi", "eka")]
        open_now(sale)
        open_now(sale)
        self.held, self.order = (
            lazada.reserve(place, key=f"k{n}").json["reservation"] for n, place in enumerate(places[:2])
        )
        self.test_key = sandbox_key(sale)
        self.values = {
            "sale": sale.code, "line": "lazada", "code": sale.code, "id": self.held, "date": "2026-11-29",
            "reference": "fs-X-1",
        }  # fmt: skip
        channel = Channel.objects.get(campaign=sale.campaign, code="lazada").pk
        hook = webhooks.make(channel=channel, url="https://shop.example/", types=[], by="shell")
        self.hook = {"id": str(hook.pk), "delivery": str(webhooks.send_test(webhook=hook).pk)}
        who = {"phone": "081298765432", "email": "dian@example.com"}
        self.bodies: dict[str, dict[str, Any]] = {
            "enter": {"identity": who},
            **{verb: {"place": places[2]} for verb in ("look", "leave", "wait", "receipt")},
            "enter-bundle": {"items": [{"identity": who}]},
            "look-bundle": {"items": [{"place": places[2]}]},
            "reserve": {"place": places[2], "items": [{"sku": PHONE, "quantity": 1}]},
            "confirm": ORDER | {"instrument": DEMO_LATER},
            "cancel": {"reason": "buyer_request"},
            "release": {},
            "refund": {"refund": "fr-1", "reference": "mine"},
            "rotate": {"grace_s": 60},
            "eligibility": {"sale": sale.code, "line": "lazada", "identity": who},
            "redeem": {"pass": "x" * 20},
            "list": {"axis": "phone", "people": ["081298765432"]},
            "webhooks": {"url": "https://shop.example/2", "types": ["sale.opened"]},
            PATCHED: {"url": "https://shop.example/3", "types": ["sale.opened"], "enabled": False},
            "/v1/webhooks/{id}/rotate": {"keep_s": 60},
            "test": {},
            "/v1/test/sales": {"units": 1},
            "/v1/test/payments/{reference}": {"paid": True},
            "resend": {"since": timezone.now().isoformat()},
            "/v1/webhooks/{id}/deliveries/{delivery}/resend": {},
            "demo": {"reference": "none", "amount": 1_799_000, "currency": "IDR", "paid": True},
        }

    def body(self, path: str) -> dict[str, Any]:
        last = PaymentAttempt.objects.last()
        self.bodies["demo"]["reference"] = last.reference if last else "none"
        return self.bodies[path if path in self.bodies else path.rpartition("/")[2]]

    def send(self, path: str, method: str, *, query: str = "", body: dict[str, Any] | str | None = None) -> Reply:
        text = body if isinstance(body, str) else json.dumps(body)
        raw = b"" if body is None else text.encode()
        key = self.test_key if path.startswith("/v1/test/") else self.key
        headers: dict[str, Any] = {"authorization": f"Bearer {key}", "idempotency_key": "strict"}
        if path == NOTIFICATION:
            headers = self._signed(raw)
        values = self.values | (self.hook if path.startswith("/v1/webhooks") else {})
        url = path.format(**values) + query
        return send_request(method.upper(), url, raw=[raw], content_length=str(len(raw)), **headers)

    def _signed(self, raw: bytes) -> dict[str, Any]:
        now = str(int(time.time()))
        signature = demo._sign("msg_1", now, raw)
        return {"webhook_id": "msg_1", "webhook_timestamp": now, "webhook_signature": signature}


@pytest.fixture
def caller(sale: Sale, lazada: Partner) -> Caller:
    return Caller(sale, lazada)


@pytest.fixture
def everything(snapshot: Snapshot) -> Snapshot:
    """As `snapshot`, with the calls and payments that PostgreSQL has."""

    def look() -> Any:
        redis, books = snapshot()
        # Every request counts for its limit.
        kept = {key: value for key, value in redis.items() if b"limits:" not in key}
        return (
            kept,
            books,
            [
                list(model.objects.order_by("pk").values())
                for model in (ApiCall, DemoCharge, PaymentAttempt, Webhook, Delivery)
            ],
        )

    return look


def objects_in(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of the objects with named members in a body; an identity has axes for names."""
    if isinstance(body, list):
        return [found for n, part in enumerate(body) for found in objects_in(part, (*path, n))]
    if not isinstance(body, dict) or path[-1:] == ("identity",):
        return []
    return [path, *(found for name, part in body.items() for found in objects_in(part, (*path, name)))]


def spoiled(body: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(body))
    part: Any = copy
    for step in path:
        part = part[step]
    part["colour"] = "red"
    return copy


def test_an_unknown_query_parameter_is_refused_by_every_operation(caller: Caller, everything: Snapshot) -> None:
    before = everything()
    for path, method in OPERATIONS:
        body = caller.body(path) if (path, method) in WITH_BODY else None
        for query, name in (("?colour=red", "colour"), ("?colour", "colour"), ("?limit=5&Limit=5", "Limit")):
            reply = caller.send(path, method, query=query, body=body)
            assert (path, query, reply.code) == (path, query, (422, "unknown_field"))
            assert name in reply.json["detail"]
    assert everything() == before


def test_an_unknown_member_is_refused_by_every_operation_at_every_depth(caller: Caller, everything: Snapshot) -> None:
    before = everything()
    for path, method in WITH_BODY:
        body = caller.body(path)
        for place in objects_in(body):
            reply = caller.send(path, method, body=spoiled(body, place))
            # Each person of a bundle is refused alone.
            problem = reply.json["items"][0]["problem"] if path.endswith("bundle") and place else reply.json
            found = (problem["status"], problem["code"])
            assert (path, place, found) == (path, place, (422, "unknown_field"))
            assert "colour" in problem["detail"]
    assert everything() == before


def repeated(body: Any) -> list[str]:
    """The body as JSON, each time with the first member of one of its objects there twice."""
    if isinstance(body, list):
        return [f"[{text}]" for value in body[:1] for text in repeated(value)]
    if not isinstance(body, dict) or not body:
        return []
    parts = {name: f"{json.dumps(name)}: {json.dumps(value)}" for name, value in body.items()}
    texts = ["{" + ", ".join([next(iter(parts.values())), *parts.values()]) + "}"]
    inner = [(name, text) for name, value in body.items() for text in repeated(value)]
    return texts + [
        "{" + ", ".join({**parts, name: f"{json.dumps(name)}: {text}"}.values()) + "}" for name, text in inner
    ]


def test_a_member_that_is_there_twice_is_refused_by_every_operation_at_every_depth(
    caller: Caller, everything: Snapshot
) -> None:
    before, tried = everything(), 0
    for path, method in WITH_BODY:
        for text in repeated(caller.body(path)):
            reply = caller.send(path, method, body=text)
            assert (path, text, reply.status, reply.json["code"]) == (path, text, 400, "malformed")
            tried += 1
    assert tried == 30
    assert everything() == before


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\"", "a": 1}',
        '{"a": "\\\\", "a": "\\\\"}',
        '{"a": {"b": [{"c": 1, "c": 1}]}}',
        '{"\\u0061": 1, "a": 1}',
    ],
)
def test_a_member_that_is_there_twice_is_found_behind_every_spelling(text: str) -> None:
    with pytest.raises(Refused, match=Outcome.MALFORMED):
        parse_json_object(text.encode())


@pytest.mark.parametrize(
    "text", ['{"a": "\\"", "b": "\\"a\\""}', '{"a": "\\u0022", "A": 1}', '{"a": {"a": [{"a": 1}, {"a": 1}]}}', "{}"]
)
def test_a_body_that_says_each_thing_once_is_read(text: str) -> None:
    assert parse_json_object(text.encode()) == json.loads(text)


def test_without_what_spoils_it_every_operation_goes_further(caller: Caller) -> None:
    # Otherwise the tests above would show only that a refused request is refused.
    verbs = (
        "enter", "enter-bundle", "look", "look-bundle", "receipt", "reserve", "confirm", "demo", "release", "cancel",
        "refund", "rotate", "redeem", "list", "eligibility", "leave", "wait", "webhooks", "test", "resend", "sales",
        "{reference}",
    )  # fmt: skip
    codes = {}
    for path in sorted(POSTS, key=lambda path: verbs.index(path.rpartition("/")[2])):
        reply = caller.send(path, "post", body=caller.body(path))
        codes[path.rpartition("/")[2]] = "" if reply.status < 300 else reply.json["code"]
    assert {verb: code for verb, code in codes.items() if code} == {
        "release": "key_reused", "cancel": "key_reused", "refund": "key_reused", "list": "key_reused",
        "leave": "place_spent", "wait": "already_called", "rotate": "key_reused", "redeem": "key_reused",
        "webhooks": "key_reused", "test": "key_reused", "resend": "key_reused", "{reference}": "not_found",
    }  # fmt: skip


def test_a_quantity_does_not_cancel_the_whole_order(caller: Caller, everything: Snapshot) -> None:
    cancel = "/v1/reservations/{id}/cancel"
    assert caller.send("/v1/reservations/{id}/confirm", "post", body=ORDER).json["state"] == "confirmed"
    before = everything()
    reply = caller.send(cancel, "post", body={"reason": "buyer_request", "quantity": 1})
    assert (reply.code, reply.json["errors"][0]["pointer"]) == ((422, "unknown_field"), "#/quantity")
    assert reply.json["detail"] == "Not known here: quantity. Known: reason."
    assert everything() == before


@pytest.mark.parametrize(
    "query",
    [
        "limit=abc", "limit=0", "limit=-1", "limit=101", "limit=1.0", "limit=1_0", "limit=", "limit=+5", "limit=٣",
        "limit=1e1", "limit=99999999999999999999", "limit=2&limit=3", "limit=2&limit=2", "cursor=", "cursor=a&cursor=b",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/reservations", "/v1/sales"])
def test_a_page_that_cannot_be_is_refused_and_named(lazada: Partner, path: str, query: str) -> None:
    reply = send_request("GET", f"{path}?{query}", authorization=f"Bearer {lazada.key}")
    assert (reply.code, reply.json["errors"][0]["pointer"]) == ((400, "malformed"), f"#/{query.partition('=')[0]}")


@pytest.mark.parametrize("query", ["state=", "state=eaten", "sale=", "sale=a&sale=b", "state=held&state=held"])
def test_a_filter_that_selects_nothing_is_refused(lazada: Partner, query: str) -> None:
    reply = send_request("GET", f"/v1/reservations?{query}", authorization=f"Bearer {lazada.key}")
    assert reply.code == (400, "malformed")


def test_a_name_that_may_be_personal_is_not_repeated(caller: Caller) -> None:
    for name in ("budi@example.com", "081298765432", "", "x" * 41, "a/b~c", "é"):
        look = caller.send("/v1/sales/{sale}/lines/{line}/look", "post", body={name: 1})
        cancel = caller.send("/v1/reservations/{id}/cancel", "post", body={"reason": "buyer_request", name: 1})
        for reply in (look, cancel):
            assert reply.code == (422, "unknown_field")
            assert "(not a word)" in reply.json["detail"]
            assert not name or name not in reply.body.decode()


def test_a_hundred_unknown_names_make_no_long_answer(caller: Caller) -> None:
    names = {f"name_{n}": n for n in range(100)}
    for path in ("/v1/sales/{sale}/lines/{line}/look", "/v1/reservations/{id}/release"):
        reply = caller.send(path, "post", body=names)
        assert (reply.code, len(reply.body) < 2500) == ((422, "unknown_field"), True)


def test_what_the_wrong_kind_of_caller_or_line_would_ignore_is_refused(
    caller: Caller, sale: Sale, everything: Snapshot
) -> None:
    ani = Visitor(sale, "farah")
    assert ani.enter().status == 201
    before = everything()
    assert ani.hot("look", {"place": caller.bodies["look"]["place"]}).code == (422, "unknown_field")
    assert ani.hot("enter", {"identity": {}}).code == (422, "unknown_field")
    both = caller.bodies["reserve"] | caller.bodies["enter"]
    assert caller.send("/v1/sales/{sale}/lines/{line}/reserve", "post", body=both).code == (422, "unknown_field")
    assert everything() == before


def test_the_document_says_that_there_are_no_others() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    names = {"EnterRequest", "PlaceRequest", "ReserveRequest", "Confirm", "Contact", "Cancel", "CallBack", "Refunded"}
    names |= {"EnterBundle", "LookBundle", "Rotate", "EligibilityRequest", "ListedPeople", "Pass"}
    names |= {"NewWebhook", "PatchedWebhookChange", "WebhookRotate", "WebhookResend", "NewTestSale", "TestBank"}
    assert {name for name, schema in schemas.items() if schema.get("additionalProperties") is False} == names
    assert schemas["ReserveRequest"]["properties"]["items"]["items"]["additionalProperties"] is False
