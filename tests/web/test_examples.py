"""Each request of docs/collection.json works against a real server, and the examples of the API are such answers."""

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis
import requests
from django.utils import timezone
from jsonschema import Draft202012Validator

from flashsale.life import settlement
from flashsale.life.refund import refund_due
from flashsale.models import Event
from flashsale.web.api.document import openapi
from flashsale.web.api.examples import EXAMPLES, FILE
from tests.browser.site import serving
from tests.factories import PHONE, end_now, identity, lobby_sale, open_now, poco_campaign
from tests.house.collection import NEW_KEY, STORED, VARIABLES
from tests.house.reference import DOCS
from tests.web.partner import ORDER, Partner, contact_of, key_of
from tests.web.sandbox_partner import sandbox_key
from tests.web.shapes import shape

DOCUMENT = json.loads(openapi())
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()
}
COLLECTION = json.loads((DOCS / "collection.json").read_text(encoding="utf-8"))
ITEMS: list[dict[str, Any]] = COLLECTION["item"]
AUTH = COLLECTION["auth"]  # of requests without one of their own
# What needs the signature of a payment provider, a pass that our page has given to a browser, a draft with a list, or a
# payment of a test sale.
NOT_SENT = {"paymentCallBack", "redeemPass", "putOnList", "playBank"}
# Before the opening, in this order; then what needs a place that is called; then what needs the end of the sale.
BEFORE = [
    "listSales", "readSale", "readRules", "readKeys", "listMagic", "enter", "enterBundle", "look", "lookBundle",
    "wait", "status", "receipt",
]  # fmt: skip
LAST = [
    "cancelReservation", "answerRefund", "leave", "releaseReservation", "readFairness", "listSettlements",
    "readSettlement", "readSettlementSignature", "rotateKey",
]  # fmt: skip


@dataclass
class World:
    """A server, a partner with some shoppers, and the variables of the collection."""

    url: str
    partner: Partner
    variables: dict[str, str]
    others: list[str]  # places of other shoppers
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def send(self, item: dict[str, Any]) -> None:
        """Sends a request of the collection, keeps the answer, and sets the variables that it gives."""
        name, request = item["name"], item["request"]
        headers = {one["key"]: self.fill(one["value"]) for one in request["header"]} | {"Accept-Language": "en"}
        auth = request.get("auth", AUTH)
        if auth["type"] == "bearer":
            headers["Authorization"] = f"Bearer {self.fill(auth['bearer'][0]['value'])}"
        body = self.fill(request["body"]["raw"]).encode() if "body" in request else None
        send = partial(requests.request, request["method"], self.fill(request["url"]["raw"]), data=body, timeout=120)
        refused = send(headers=headers | {"Accept": "text/html"})
        assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable"), name
        reply = send(headers=headers)
        assert reply.status_code < 300, (name, reply.text)
        described = OPERATIONS[name]["responses"][str(reply.status_code)]["headers"].keys()
        assert [one for one in described if one not in reply.headers] in ([], ["Idempotency-Replayed"]), name
        self.answers[name] = reply.status_code, reply.json() if reply.content else None
        for variable, path in STORED.get(name, {}).items():
            found = reply.json()
            for step in re.findall(r"\w+", path):
                found = found[int(step) if step.isdigit() else step]
            self.variables[variable] = str(found)

    def fill(self, text: str) -> str:
        text = text.replace(NEW_KEY, str(uuid.uuid4())).replace("{{$isoTimestamp}}", timezone.now().isoformat())
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.variables[found[1]], text)

    def held(self) -> str:
        """A reservation of another shopper."""
        return str(self.partner.reserve(self.others.pop(), key=str(uuid.uuid4())).json["reservation"])

    def refunded(self) -> None:
        """A shopper whom the partner has charged cancels, and the partner is asked for the refund."""
        who = {axis.value: value for axis, value in identity("person-3").items()}
        paid = ORDER | {"identity": who, "contact": contact_of(who), "method": "partner", "instrument": "LZD-1"}
        reservation = self.variables["reservation"] = self.held()
        bodies: tuple[tuple[str, Any], ...] = (("confirm", paid), ("cancel", {"reason": "buyer_request"}))
        for verb, body in bodies:
            reply = requests.post(
                f"{self.url}/v1/reservations/{reservation}/{verb}", json=body, timeout=120,
                headers={"Authorization": f"Bearer {self.partner.key}", "Idempotency-Key": verb},
            )  # fmt: skip
            assert reply.status_code == 200, reply.text
        self.variables["refund"] = reply.json()["payment"]["refunds"][0]["reference"]
        assert refund_due() > 0

    def settled(self) -> None:
        """Two days have passed, so that the orders have a settlement."""
        lately = timezone.now() - timedelta(days=2)
        Event.objects.update(at=lately)
        assert settlement.make_due() > 0
        self.variables["date"] = lately.astimezone(self.partner.sale.campaign.zone).date().isoformat()

    def release(self) -> None:
        self.variables["reservation"] = self.held()

    def leave(self) -> None:
        self.variables["place"] = self.others.pop()


@pytest.fixture
def world(transactional_db: None, gate: redis.Redis, tmp_path: Any) -> Iterator[World]:
    gate.flushall()
    channels = [{"code": "lazada", "name": "Lazada", "payment_accounts": "demo,partner", "order_letters": False}]
    sale = lobby_sale(
        poco_campaign(channels=channels, code="poco-m3"), code="poco-m3-26-jan", stock={PHONE: 20}, rate_per_s=100,
        claim_s=3600, hold_s=3600,
    )  # fmt: skip
    lazada = Partner(key_of(sale.campaign, "lazada"), sale, "lazada")
    with serving(tmp_path) as site:
        yield World(
            site.url, lazada,
            VARIABLES | {"url": site.url, "key": lazada.key, "sale": sale.code, "test_key": sandbox_key(sale)},
            [lazada.enter(f"person-{n}") for n in range(4)],
        )  # fmt: skip


def test_the_collection_has_every_operation() -> None:
    assert sorted(item["name"] for item in ITEMS) == sorted(OPERATIONS)


def contents(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The JSON of a request or of answers, as the description has it."""
    return [part["content"]["application/json"] for part in parts if "application/json" in part.get("content", {})]


def examples(content: dict[str, Any]) -> list[Any]:
    named = [one["value"] for one in content.get("examples", {}).values()]
    return named + ([content["example"]] if "example" in content else [])


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_request_and_an_answer_have_examples_that_fit_their_schemas(name: str) -> None:
    operation = OPERATIONS[name]
    request = contents(operation.get("requestBody", {}))
    answers = contents(*(response for status, response in operation["responses"].items() if status[0] == "2"))
    for content in [*request, *answers]:
        for example in examples(content):
            Draft202012Validator(content["schema"] | {"components": DOCUMENT["components"]}).validate(example)
    assert all(examples(content) for content in request)
    assert not answers or any(examples(content) for content in answers)


def test_every_example_is_one_of_an_operation() -> None:
    assert set(EXAMPLES) <= set(OPERATIONS)


@pytest.mark.slow
@pytest.mark.skipif("os.environ.get('FLASHSALE_TEST_DB') == 'sqlite'", reason="SQLite has one writer")
def test_each_request_of_the_collection_works_and_its_answer_has_the_shape_of_the_example(world: World) -> None:
    by_name = {item["name"]: item for item in ITEMS if item["name"] not in NOT_SENT}
    between = [name for name in by_name if name not in BEFORE + LAST]
    sale = world.partner.sale
    before: dict[str, Callable[[], Any]] = {
        between[0]: lambda: (open_now(sale), open_now(sale)),  # the second time calls people
        "answerRefund": world.refunded, "leave": world.leave, "releaseReservation": world.release,
        "readFairness": lambda: end_now(sale), "listSettlements": world.settled,
    }  # fmt: skip
    for name in [*BEFORE, *between, *LAST]:
        before.get(name, lambda: None)()
        world.send(by_name[name])
    assert set(world.answers) == OPERATIONS.keys() - NOT_SENT
    different = {}
    for name, (status, answer) in world.answers.items():
        known = EXAMPLES.setdefault(name, {}).setdefault("answers", {})
        if answer is not None and shape(known.get(str(status))) != shape(answer):
            different[name] = known[str(status)] = answer
    if "FLASHSALE_WRITE_REFERENCE" in os.environ and different:
        FILE.write_text(json.dumps(dict(sorted(EXAMPLES.items())), indent=1, ensure_ascii=False) + "\n")
        return
    assert different == {}, "run: make reference"
