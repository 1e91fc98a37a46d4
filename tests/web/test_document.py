"""The OpenAPI document matches the responses of the hot door and of the REST API."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from flashsale.models import Sale
from flashsale.web import problems
from flashsale.web.api.document import openapi
from flashsale.web.hot import door
from tests.factories import end_now, identity, open_now
from tests.web.asgi import send_request
from tests.web.partner import Partner

HOT = "/v1/sales/{sale}/lines/{line}/"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(openapi())


def _fits(document: dict[str, Any], path: str, method: str, status: int, answer: object) -> None:
    """Raises if a response does not match the documented schema."""
    responses = document["paths"][path][method]["responses"]
    response = responses.get(str(status), responses["default"])
    if "$ref" in response:
        response = document["components"]["responses"]["Problem"]
    content = response["content"].get("application/json") or response["content"]["application/problem+json"]
    Draft202012Validator(content["schema"] | {"components": document["components"]}).validate(answer)


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"


def test_it_describes_every_operation_of_both_doors(document: dict[str, Any]) -> None:
    operations = {(method, path) for path, item in document["paths"].items() for method in item}
    assert operations == {
        ("get", HOT + "status"), *(("post", HOT + verb) for verb in door.VERBS),
        ("get", "/v1/events"), ("post", "/v1/passes/redeem"),
        ("get", "/v1/keys"), ("post", "/v1/keys/rotate"),
        ("get", "/v1/sales"), ("get", "/v1/sales/{code}"), ("get", "/v1/sales/{code}/transcript"),
        ("get", "/v1/sales/{code}/draw"),
        ("get", "/v1/sales/{code}/fairness"),
        ("get", "/v1/sales/{code}/rules"), ("post", "/v1/sales/{sale}/lines/{line}/list"), ("post", "/v1/eligibility"),
        ("get", "/v1/reservations"), ("get", "/v1/reservations/{id}"), ("post", "/v1/reservations/{id}/confirm"),
        ("post", "/v1/reservations/{id}/cancel"), ("post", "/v1/reservations/{id}/release"),
        ("post", "/v1/reservations/{id}/refund"),
        ("post", "/v1/test/sales"), ("get", "/v1/test/magic"), ("post", "/v1/test/payments/{reference}"),
        ("get", "/v1/test/conformance"),
        ("get", "/v1/settlements"), ("get", "/v1/settlements/{sale}/{date}"),
        ("get", "/v1/settlements/{sale}/{date}/signature"),
        ("get", "/v1/webhooks"), ("post", "/v1/webhooks"),
        *((method, "/v1/webhooks/{id}") for method in ("get", "patch", "delete")),
        *(("post", f"/v1/webhooks/{{id}}/{verb}") for verb in ("rotate", "test", "resend")),
        ("get", "/v1/webhooks/{id}/deliveries"), ("post", "/v1/webhooks/{id}/deliveries/{delivery}/resend"),
        ("post", "/v1/payments/demo"),
    }  # fmt: skip


def test_every_operation_names_its_refusals_and_its_keys(document: dict[str, Any]) -> None:
    operations = [item for path in document["paths"].values() for item in path.values()]
    assert {operation["responses"]["default"]["$ref"] for operation in operations} == {"#/components/responses/Problem"}
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert document["components"]["securitySchemes"]["partnerKey"]["scheme"] == "bearer"


def test_real_answers_of_the_hot_door_fit(document: dict[str, Any], sale: Sale, lazada: Partner) -> None:
    who = {axis.value: value for axis, value in identity("ani").items()}
    entered = lazada.post("enter", {"identity": who})
    _fits(document, HOT + "enter", "post", entered.status, entered.json)
    place = entered.json["place"]
    _fits(document, HOT + "look", "post", 200, lazada.post("look", {"place": place}).json)
    status = f"/v1/sales/{sale.code}/lines/lazada/status"
    _fits(document, HOT + "status", "get", 200, send_request("GET", status).json)
    open_now(sale)
    open_now(sale)
    _fits(document, HOT + "look", "post", 200, lazada.post("look", {"place": place}).json)
    bundle = lazada.post("enter-bundle", {"items": [{"identity": who}, {"identity": {}}]})
    _fits(document, HOT + "enter-bundle", "post", 200, bundle.json)
    _fits(
        document, HOT + "look-bundle", "post", 200, lazada.post("look-bundle", {"items": [{"place": place}, {}]}).json
    )
    refused = lazada.reserve(place, sku="nothing")
    _fits(document, HOT + "reserve", "post", refused.status, refused.json)
    _fits(document, HOT + "reserve", "post", 201, lazada.reserve(place).json)
    _fits(document, HOT + "leave", "post", 200, lazada.post("leave", {"place": lazada.enter("budi")}).json)


def test_real_answers_of_the_rest_fit(document: dict[str, Any], sale: Sale, lazada: Partner, held: Any) -> None:
    client = Client(headers=lazada.http)
    for path, address in (
        ("/v1/sales", "/v1/sales"), ("/v1/sales/{code}", f"/v1/sales/{sale.code}"),
        ("/v1/sales/{code}/transcript", f"/v1/sales/{sale.code}/transcript"),
        ("/v1/sales/{code}/rules", f"/v1/sales/{sale.code}/rules"),
        ("/v1/events", "/v1/events"),
        ("/v1/reservations", "/v1/reservations"),
        ("/v1/reservations/{id}", f"/v1/reservations/{held['reservation']}"),
        ("/v1/reservations/{id}", "/v1/reservations/00000000-0000-0000-0000-000000000000"),
    ):  # fmt: skip
        reply = client.get(address)
        _fits(document, path, "get", reply.status_code, reply.json())
    who = {axis.value: value for axis, value in identity("ani").items()}
    body = {"sale": sale.code, "line": "lazada", "identity": who}
    reply = client.post("/v1/eligibility", body, "application/json")
    _fits(document, "/v1/eligibility", "post", 200, reply.json())
    reply = client.get(f"/v1/reservations?partner_reference=x&updated_after={sale.lobby_at:%Y-%m-%dT%H:%M:%SZ}")
    _fits(document, "/v1/reservations", "get", 200, reply.json())
    end_now(sale)
    reply = client.get(f"/v1/sales/{sale.code}/fairness")
    _fits(document, "/v1/sales/{code}/fairness", "get", 200, reply.json())


def test_it_is_served_to_everybody(client: Client) -> None:
    reply = client.get("/v1/openapi.json")
    assert (reply.status_code, reply["Content-Type"], reply.content) == (200, "application/json", openapi())


def test_it_can_be_read_in_a_browser(client: Client) -> None:
    page = client.get("/v1/docs/")
    assert page.status_code == 200
    assert b"/v1/openapi.json" in client.get("/v1/docs/?script=").content


def test_a_problems_type_leads_to_its_meaning(client: Client) -> None:
    assert client.get("/problems/sold_out").json() == {
        "type": "/problems/sold_out", "code": "sold_out", "status": 409,
        "title": {"id": "Saat ini tidak ada unit yang tersedia.", "en": "No unit is free now."},
    }  # fmt: skip
    assert client.get("/problems/nothing").status_code == 404


def test_all_refusals_stand_on_one_page_in_the_readers_language(client: Client) -> None:
    page = client.get("/problems/", headers={"Accept-Language": "en"}).content.decode()
    assert page.count("<tr id=") == len(problems.REFUSALS)
    assert "<td>No unit is free now.</td>" in page
    assert "is judged anew" in page
    page = client.get("/problems/", headers={"Accept-Language": "id"}).content.decode()
    assert "<td>Saat ini tidak ada unit yang tersedia.</td>" in page


@pytest.mark.django_db
def test_every_link_for_language_models_leads_somewhere(client: Client) -> None:
    text = client.get("/llms.txt").content.decode()
    links = re.findall(r"\]\((/[^)]*)\)", text)
    assert len(links) == 5
    assert [link for link in links if client.get(link).status_code != 200] == []
