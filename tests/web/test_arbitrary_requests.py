"""Every operation of the API gets requests that fit its description, and requests that do not, from Schemathesis.

FLASHSALE_CASES is the number of requests for each operation, for example 2000 in a long run. `make soak` sends 96.
"""

import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from flashsale.web.api.document import openapi
from tests import samples
from tests.browser.site import serving
from tests.factories import PHONE, identity, lobby_sale, open_now, poco_campaign
from tests.web.partner import Partner, key_of
from tests.web.sandbox_partner import sandbox_key

CASES = int(os.environ.get("FLASHSALE_CASES") or (96 if samples.WHOLE else 36))
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
# A request may fit the description and break a rule of the sale, so that its refusal is correct.
CHOSEN: list[Any] = [check for check in CHECKS.get_all() if check is not positive_data_acceptance]
# What needs a signature, a pass, a payment that is started, a finished sale, a draft, an order, a place that is not
# called yet, or the identity of a reservation.
UNREACHED = {
    "POST /v1/payments/demo", "GET /v1/sales/{code}/fairness", "POST /v1/reservations/{id}/cancel",
    "POST /v1/reservations/{id}/confirm", "POST /v1/reservations/{id}/refund",
    "POST /v1/sales/{sale}/lines/{line}/wait", "POST /v1/sales/{sale}/lines/{line}/list", "POST /v1/passes/redeem",
    "POST /v1/test/payments/{reference}",
}  # fmt: skip
# The server has no webhook and no settlement, whose ids are known after a request only. test_examples.py reaches them.
UNREACHED_UNDER = ("/v1/webhooks/{id}", "/v1/settlements/{sale}/")
schema = schemathesis.openapi.from_dict(json.loads(openapi()))
# Metadata may make a body too large, which refuses it, too.
schema.config.checks.negative_data_rejection.expected_statuses.append("413")
OPERATIONS: dict[str, Any] = {one.ok().label: one.ok() for one in schema.get_all_operations()}  # type: ignore[union-attr]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db,  # pytest makes a database for tests that have this mark; so the file can run alone
    pytest.mark.skipif("os.environ.get('FLASHSALE_TEST_DB') == 'sqlite'", reason="SQLite has one writer"),
]  # and the server writes beside the test


@dataclass
class World:
    """A server with a sale that runs, and what a partner knows of it."""

    url: str
    key: str
    real: dict[str, list[Any]]
    # Another partner's key, for requests that may end the key that they are made with.
    spare: str
    # A key of the first partner's sandbox.
    test: str
    answers: Counter[int] = field(default_factory=Counter)

    def one(self, name: str, made_up: object) -> Any:
        """One of the real values, chosen by the made-up one; in a quarter of the requests the made-up one itself."""
        digest = zlib.crc32(repr(made_up).encode())
        return self.real[name][digest % len(self.real[name])] if name in self.real and digest % 4 else made_up

    def lead(self, case: schemathesis.Case) -> None:
        """Puts real sales, lines, places and reservations into the parts of a request that fit the description."""
        assert case.meta is not None
        fits = {where for where, part in case.meta.components.items() if part.mode is POSITIVE}
        if ParameterLocation.PATH in fits:
            for name, value in case.path_parameters.items():
                case.path_parameters[name] = self.one(name, value)
        if ParameterLocation.BODY in fits and isinstance(case.body, dict):
            self._lead_body(case.body)

    def _lead_body(self, body: dict[str, Any]) -> None:
        for name in body.keys() & {"place", "identity", "sale", "line"}:
            body[name] = self.one(name, body[name])
        for item in body.get("items", ()):
            if "sku" in item:  # items of a reservation, which names an offer once
                item.update(sku=self.one("sku", item["sku"]), quantity=1)
                body |= {"place": self.one("place", repr(body)), "items": [item]}
                break
            self._lead_body(item)


@pytest.fixture(scope="module")
def world(shared_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as eraser:
        eraser.flushall()
    sale = lobby_sale(
        poco_campaign(), channels=("lazada", "akulaku"), stock={PHONE: 50}, rate_per_s=100, claim_s=3600, hold_s=3600
    )
    lazada = Partner(key_of(sale.campaign, "lazada"), sale, "lazada")
    places = [lazada.enter(f"person-{n}") for n in range(36)]
    open_now(sale), open_now(sale)  # the second time calls people
    held = [lazada.reserve(place, key=f"k{n}").json["reservation"] for n, place in enumerate(places[:6])]
    real = {
        "sale": [sale.code], "code": [sale.code], "line": ["lazada"], "id": held, "place": places, "sku": [PHONE],
        "date": ["2026-11-29"],
        "identity": [{axis.value: value for axis, value in identity(f"new-{n}").items()} for n in range(20)],
    }  # fmt: skip
    test_key = sandbox_key(sale)
    with serving(tmp_path_factory.mktemp("world")) as site:
        yield World(site.url, lazada.key, real, key_of(sale.campaign, "akulaku"), test_key)


@pytest.mark.parametrize("label", OPERATIONS)
def test_each_answer_to_an_arbitrary_request_is_described_and_none_is_a_fault_of_ours(world: World, label: str) -> None:
    operation, answers = OPERATIONS[label], Counter[int]()
    session = requests.Session()
    key = world.spare if label == "POST /v1/keys/rotate" else world.test if "/v1/test/" in label else world.key
    # Each item of a bundle is judged alone, so a wrong item does not refuse the bundle.
    checks = [check for check in CHOSEN if check is not negative_data_rejection or not label.endswith("-bundle")]

    def ask(case: schemathesis.Case) -> None:
        world.lead(case)
        reply = case.call_and_validate(
            base_url=world.url, session=session, headers={"Authorization": f"Bearer {key}"}, checks=checks
        )
        answers[reply.status_code] += 1

    # Without parameters and without a body, no request breaks the description.
    breakable = operation.body or operation.headers or operation.query
    for mode, cases in {POSITIVE: CASES * 2 // 3, NEGATIVE: CASES // 3}.items() if breakable else [(POSITIVE, CASES)]:
        settings(
            max_examples=cases, deadline=None, database=None, derandomize="FLASHSALE_CASES" not in os.environ,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )(given(operation.as_strategy(generation_mode=mode))(ask))()  # fmt: skip
    unreached = label in UNREACHED or label.partition(" ")[2].startswith(UNREACHED_UNDER)
    assert unreached or any(status < 300 for status in answers), answers
