"""A partner manages its webhooks by the REST API: only its own, each write once per key, and secrets are shown once."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from jsonschema import Draft202012Validator
from pytest_django import Settings

from flashsale.life import webhooks
from flashsale.models import ApiCall, Delivery, Event, Record, Webhook
from flashsale.rules.events import EventType
from flashsale.web import idempotency
from flashsale.web.api.document import openapi
from tests.hooks import Hooks
from tests.life.deliveries import run
from tests.races.crowd import at_once
from tests.web.asgi import send_request
from tests.web.partner import Partner

URL = "https://shop.example/hooks"
DOCUMENT = json.loads(openapi())


class Api:
    """A partner's calls."""

    def __init__(self, partner: Partner) -> None:
        self.client = Client(headers=partner.http)

    def call(self, method: str, path: str = "", body: Any = None, *, key: str = "k1") -> Any:
        headers = {"idempotency-key": key}
        sent = json.dumps({} if body is None else body)
        return getattr(self.client, method)(f"/v1/webhooks{path}", sent, "application/json", headers=headers)

    def get(self, path: str = "", **query: str) -> Any:
        return self.client.get(f"/v1/webhooks{path}", query)

    def add(self, *, key: str = "k1", **body: Any) -> dict[str, Any]:
        reply = self.call("post", body={"url": URL} | body, key=key)
        assert reply.status_code == 201, reply.content
        return dict(reply.json())


@pytest.fixture
def api(lazada: Partner) -> Api:
    return Api(lazada)


def _two_commits(call: ApiCall, act: Callable[[int], dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """As before the guard: the effect is committed, and then the answer."""
    result = act(call.pk)
    if idempotency._store(call, json.dumps(result, default=str)):
        return result, False
    call.refresh_from_db()
    return json.loads(call.answer or ""), True


def _dies(*_: Any) -> int:
    raise RuntimeError("the process ended here")


def fits(name: str, answer: Any) -> None:
    """Raises if an answer does not fit its component."""
    Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}).validate(
        answer
    )


class TestAWebhook:
    def test_is_added_once_per_key_and_its_secret_is_in_no_table_in_clear(self, api: Api) -> None:
        made = api.add(types=["sale.opened", "reservation.held", "sale.opened"])
        fits("WebhookWithSecret", made)
        assert (made["url"], made["types"], made["enabled"], made["off"], made["waiting"]) == (
            URL, ["reservation.held", "sale.opened"], True, "", 0,
        )  # fmt: skip
        again = api.call("post", body={"url": URL, "types": ["sale.opened", "reservation.held", "sale.opened"]})
        assert (again.status_code, again.json(), again["Idempotency-Replayed"]) == (201, made, "true")
        assert Webhook.objects.count() == 1
        tables = json.dumps([list(model.objects.values()) for model in (Webhook, ApiCall, Record)], default=str)
        assert made["secret"] not in tables
        assert "secret" not in api.get(f"/{made['id']}").json()
        assert Record.objects.get(what="webhook_add").who == f"channel:{Webhook.objects.get().channel_id}"

    def test_is_listed_read_changed_and_deleted(self, api: Api) -> None:
        first, second = api.add(), api.add(key="k2", types=["sale.opened"])
        page = api.get().json()
        fits("WebhookList", page)
        assert [one["id"] for one in page["results"]] == [first["id"], second["id"]]
        path = f"/{first['id']}"
        changed = api.call("patch", path, {"url": URL + "2", "types": ["sale.closed"], "enabled": False}).json()
        fits("Webhook", changed)
        assert (changed["url"], changed["types"], changed["enabled"], changed["off"]) == (
            URL + "2", ["sale.closed"], False, "by_partner",
        )  # fmt: skip
        assert api.get(path).json() == changed
        assert api.call("patch", path, {"enabled": True}).json()["off"] == ""
        assert api.call("delete", path).status_code == 204
        assert (api.call("delete", path).status_code, api.get(path).status_code) == (404, 404)
        assert [one["id"] for one in api.get().json()["results"]] == [second["id"]]
        assert [row.what for row in Record.objects.filter(what__startswith="webhook").order_by("position")] == [
            "webhook_add", "webhook_add", "webhook_change", "webhook_change", "webhook_delete",
        ]  # fmt: skip

    def test_gets_another_secret_once_per_key(self, api: Api) -> None:
        made = api.add()
        path = f"/{made['id']}/rotate"
        rotated = api.call("post", path, key="k2").json()
        fits("WebhookWithSecret", rotated)
        assert api.call("post", path, key="k2").json() == rotated
        row = Webhook.objects.get()
        assert row.secrets_at(timezone.now()) == [rotated["secret"], made["secret"]]
        assert timedelta(hours=23) < row.previous_until - timezone.now() < timedelta(hours=25)
        # The receiver may still use the first secret: another rotation would end it before its time.
        stored = Webhook.objects.values().get()
        for key, body in (("k4", None), ("k7", {"keep_s": 1})):
            refused = api.call("post", path, body, key=key)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert f"signs until {row.previous_until:%Y-%m-%dT%H:%M:%SZ}" in refused.json()["detail"]
        assert (Webhook.objects.values().get(), Record.objects.filter(what="webhook_rotate_secret").count()) == (
            stored, 1,
        )  # fmt: skip
        third = api.call("post", path, {"keep_s": 0}, key="k3").json()
        assert Webhook.objects.get().secrets_at(timezone.now()) == [third["secret"]]
        fourth = api.call("post", path, key="k5").json()
        Webhook.objects.update(previous_until=timezone.now())
        fifth = api.call("post", path, key="k6").json()
        assert Webhook.objects.get().secrets_at(timezone.now()) == [fifth["secret"], fourth["secret"]]

    def test_is_added_twice_where_effect_and_answer_are_not_one_commit(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(idempotency, "_answer_in_one_commit", _two_commits)
        assert self._add_at_once(api, monkeypatch) == 2

    def test_is_added_once_when_the_same_request_comes_twice_at_once(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self._add_at_once(api, monkeypatch) == 1

    def _add_at_once(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> int:
        """Sends the same request twice; both reach the effect before one of them ends, if they can. The webhooks."""
        make, both = webhooks.make, threading.Barrier(2)

        def together(**fields: Any) -> Webhook:
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=2)
            return make(**fields)

        monkeypatch.setattr(webhooks, "make", together)
        first, second = at_once([api.add, api.add])
        assert first == second, "both get the answer that is stored"
        return Webhook.objects.count()

    @pytest.mark.parametrize("one_commit", [False, True])
    def test_keeps_the_secret_of_its_receiver_though_the_process_dies_before_the_answer(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, *, one_commit: bool
    ) -> None:
        made = api.add()
        if not one_commit:
            monkeypatch.setattr(idempotency, "_answer_in_one_commit", _two_commits)
        with monkeypatch.context() as dying:
            dying.setattr(idempotency, "_store", _dies)
            assert api.call("post", f"/{made['id']}/rotate", key="k2").status_code == 500
        rotated = api.call("post", f"/{made['id']}/rotate", key="k2").json()
        newest, previous = Webhook.objects.get().secrets_at(timezone.now())
        assert previous == made["secret"]
        if not one_commit:
            # The control: the secret is made without its answer, so the caller never learns it.
            assert (rotated["code"], "secret" in rotated) == ("forbidden", False)
            return
        assert newest == rotated["secret"]
        assert api.call("post", f"/{made['id']}/rotate", key="k2").json() == rotated

    def test_to_try_is_one_message_however_often_it_is_asked_for_with_one_key(self, api: Api) -> None:
        made = api.add()
        answers = at_once([lambda: api.call("post", f"/{made['id']}/test", key="k2").json()] * 3)
        assert answers[0] == answers[1] == answers[2]
        assert Delivery.objects.count() == 1

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "#/url"),
            ({"url": "http://shop.example/"}, "#/url"),
            ({"url": "https://u:p@shop.example/"}, "#/url"),
            ({"url": 1}, "#/url"),
            ({"url": URL, "types": ["sale.eaten"]}, "#/types/0"),
            ({"url": URL, "types": "sale.opened"}, "#/types"),
            ({"url": URL, "types": None}, "#/types"),
        ],
    )
    def test_that_cannot_be_is_refused_and_the_reason_is_named(self, api: Api, body: Any, pointer: str) -> None:
        reply = api.call("post", body=body)
        assert (reply.status_code, reply.json()["code"]) == (400, "malformed")
        assert reply.json()["errors"][0]["pointer"] in {pointer, pointer.rpartition("/")[0]}
        assert not Webhook.objects.exists()

    def test_is_the_sixth_of_a_channel_only_after_another_is_deleted(self, api: Api) -> None:
        made = [api.add(key=f"k{number}") for number in range(5)]
        reply = api.call("post", body={"url": URL}, key="k6")
        assert (reply.status_code, reply.json()["code"], Webhook.objects.count()) == (403, "forbidden", 5)
        api.call("delete", f"/{made[0]['id']}")
        assert api.add(key="k6")["id"] not in {one["id"] for one in made}

    def test_needs_a_key_of_its_channel_and_one_for_each_write(self, api: Api, akulaku: Partner) -> None:
        made, other = api.add(), Api(akulaku)
        before = list(Webhook.objects.values())
        calls = [
            ("get", ""),
            ("patch", ""),
            ("delete", ""),
            ("post", "/rotate"),
            ("post", "/test"),
            ("get", "/deliveries"),
        ]
        for method, verb in calls:
            path = f"/{made['id']}{verb}"
            reply = other.get(path) if method == "get" else other.call(method, path, key=f"other{verb}")
            assert (method, verb, reply.status_code) == (method, verb, 404)
            assert send_request(method.upper(), f"/v1/webhooks{path}").status == 401
        assert other.get().json() == {"results": []}
        for verb in ("/rotate", "/test"):
            assert api.call("post", f"/{made['id']}{verb}", key="").json()["code"] == "key_missing"
        assert list(Webhook.objects.values()) == before

    def test_that_staff_switched_off_stays_off_for_its_partner(self, api: Api, django_user_model: Any) -> None:
        made = api.add()
        staff = django_user_model.objects.create_user("alice")
        webhooks.change(webhook=Webhook.objects.get(), by=staff, enabled=False)
        for enabled in (False, True):
            reply = api.call("patch", f"/{made['id']}", {"enabled": enabled})
            assert reply.status_code == (403 if enabled else 200)
            assert api.get(f"/{made['id']}").json()["off"] == "by_staff"


class TestTheLog:
    @pytest.fixture
    def hooks(self, tmp_path: Path, settings: Settings) -> Iterator[Hooks]:
        settings.FLASHSALE_WEBHOOK_LOCAL = True
        with Hooks(tmp_path / "hooks") as receiver:
            yield receiver

    def test_has_tests_and_events_in_pages_and_sends_them_again(
        self, api: Api, hooks: Hooks, lazada: Partner, held: dict[str, Any]
    ) -> None:
        assert held
        made = api.add(url=hooks.url)
        hooks.secret(made["secret"])
        path = f"/{made['id']}"
        test = api.call("post", f"{path}/test", key="t1").json()
        fits("Delivery", test)
        assert api.call("post", f"{path}/test", key="t1").json() == test
        since = (timezone.now() - timedelta(hours=1)).isoformat()
        assert api.call("post", f"{path}/resend", {"since": since}, key="r1").status_code == 200
        run()
        page = api.get(f"{path}/deliveries", limit="2").json()
        fits("PaginatedDeliveryList", page)
        rest = api.client.get(page["next"]).json()
        found = [*page["results"], *rest["results"]]
        assert {one["type"] for one in found} == {"webhook.test", "sale.published", "sale.opened", "reservation.held"}
        assert {(one["state"], one["status"], one["attempts"], one["due_at"]) for one in found} == {
            ("delivered", 200, 1, None)
        }
        one = next(one for one in found if one["type"] == "reservation.held")
        again = api.call("post", f"{path}/deliveries/{one['id']}/resend", key="r2").json()
        assert (again["state"], again["message"], again["due_at"] is not None) == ("due", one["message"], True)
        assert [row["id"] for row in api.get(f"{path}/deliveries", state="due").json()["results"]] == [one["id"]]
        run()
        assert [told["id"] for told in hooks.ledger].count(one["message"]) == 2
        told = {event["id"]: event for event in Client(headers=lazada.http).get("/v1/events").json()["results"]}
        for message in hooks.ledger:
            type_ = message["event"]["type"]
            body = DOCUMENT["webhooks"][type_]["post"]["requestBody"]["content"]["application/json"]["schema"]
            Draft202012Validator(body | {"components": DOCUMENT["components"]}).validate(message["event"])
            assert type_ == "webhook.test" or message["event"] == told[message["id"]]

    def test_cannot_send_what_is_not_there(self, api: Api) -> None:
        made = api.add()
        path = f"/{made['id']}"
        for id_ in ("1", "9" * 30):
            assert api.call("post", f"{path}/deliveries/{id_}/resend", key=id_).status_code == 404
        for since in (
            "2020-01-01T00:00:00Z",
            "2999-01-01T00:00:00Z",
            "now",
            1,
            None,
            f"{timezone.now():%Y-%m-%dT%H:%M:%S}",
        ):
            reply = api.call("post", f"{path}/resend", {"since": since}, key=f"k{since}")
            assert (reply.status_code, reply.json()["code"]) == (400, "malformed")
        assert not Delivery.objects.exists()

    def test_takes_ten_test_messages_at_a_time(self, api: Api) -> None:
        made = api.add()
        codes = [api.call("post", f"/{made['id']}/test", key=f"t{n}").status_code for n in range(11)]
        assert codes == [200] * 10 + [403]
        assert Delivery.objects.count() == 10


class TestTheDocument:
    def test_has_each_message_with_an_example_that_fits(self) -> None:
        assert set(DOCUMENT["webhooks"]) == {*map(str, EventType), "webhook.test"}
        for type_, item in DOCUMENT["webhooks"].items():
            content = item["post"]["requestBody"]["content"]["application/json"]
            example = content["examples"][type_]["value"]
            Draft202012Validator(content["schema"] | {"components": DOCUMENT["components"]}).validate(example)
            assert example["type"] == type_

    def test_describes_the_data_of_the_events_that_are_written(self, held: dict[str, Any]) -> None:
        assert held
        for event in Event.objects.all():
            schema = DOCUMENT["webhooks"][event.type]["post"]["requestBody"]["content"]["application/json"]["schema"]
            data = schema["allOf"][1]["properties"]["data"]
            assert set(event.data) == set(data["properties"])
