"""The feed of events at the door: own events only, strict parameters, an answer that fits its document."""

import gzip
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from flashsale.life import sale_control
from flashsale.models import Event, Sale
from flashsale.web.api.document import openapi
from tests.web.asgi import send_request
from tests.web.partner import Partner


def feed(partner: Partner, query: str = "") -> Any:
    return Client(headers=partner.http).get(f"/v1/events{query}")


def read(partner: Partner, query: str = "") -> dict[str, Any]:
    reply = feed(partner, query)
    assert reply.status_code == 200, reply.content
    document = json.loads(openapi())
    schema = document["components"]["schemas"]["EventPage"] | {"components": document["components"]}
    Draft202012Validator(schema).validate(reply.json())
    return dict(reply.json())


def test_a_partner_follows_its_reservations(
    sale: Sale, lazada: Partner, akulaku: Partner, held: dict[str, Any]
) -> None:
    first = read(lazada)
    assert [(one["type"], one["line"]) for one in first["results"]] == [
        ("sale.published", None),
        ("sale.opened", None),
        ("reservation.held", "lazada"),
    ]
    told = first["results"][-1]
    assert (told["reservation"], told["sequence"], told["sale"]) == (held["reservation"], 1, sale.code)
    assert told["data"] == {"quantity": 1, "amount": 1_799_000}
    assert (first["more"], read(lazada, f"?after={first['after']}")["results"]) == (False, [])
    sale_control.pause(sale=sale)
    assert [one["type"] for one in read(lazada, f"?after={first['after']}")["results"]] == ["sale.paused"]
    assert [one["type"] for one in read(akulaku)["results"]] == ["sale.published", "sale.opened", "sale.paused"]


def test_small_pages_give_every_event_once(lazada: Partner, held: dict[str, Any]) -> None:
    assert held
    found, query, more = [], "?limit=1", True
    while more:
        page = read(lazada, query)
        found += [one["id"] for one in page["results"]]
        query, more = f"?limit=1&after={page['after']}", page["more"]
    assert found == [one["id"] for one in read(lazada, "?limit=1000")["results"]]
    assert len(set(found)) == 3


def test_a_full_page_is_compressed_to_a_sixth_for_clients_that_accept_it(lazada: Partner, held: dict[str, Any]) -> None:
    one = Event.objects.get(reservation=held["reservation"])
    Event.objects.bulk_create(
        Event(
            type=one.type, channel=one.channel, sale=one.sale, line=one.line, reservation_id=uuid4(), sequence=1,
            at=one.at + timedelta(milliseconds=17 * number), data=one.data,
        )
        for number in range(997)
    )  # fmt: skip
    plain, packed = (
        Client(headers=lazada.http | {"Accept-Encoding": accepted}).get("/v1/events?limit=1000")
        for accepted in ("identity", "gzip")
    )
    assert len(plain.json()["results"]) == 1000
    assert (plain.get("Content-Encoding"), packed["Content-Encoding"]) == (None, "gzip")
    assert "Accept-Encoding" in packed["Vary"]
    assert json.loads(gzip.decompress(packed.content))["results"] == plain.json()["results"]
    assert len(packed.content) < len(plain.content) / 6


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?limit=0", 400, "malformed"),
        ("?limit=1001", 400, "malformed"),
        ("?limit=1&limit=2", 400, "malformed"),
        ("?after=1", 400, "malformed"),
        ("?after=", 400, "malformed"),
        ("?after=%00", 400, "malformed"),
        (f"?after={'9' * 41}", 400, "malformed"),
        ("?after=1-1", 404, "not_found"),
        ("?cursor=x", 422, "unknown_field"),
        ("?channel=akulaku", 422, "unknown_field"),
    ],
)
def test_other_parameters_are_refused(lazada: Partner, query: str, status: int, code: str) -> None:
    reply = feed(lazada, query)
    assert (reply.status_code, reply.json()["code"]) == (status, code)


def test_it_needs_a_key(sale: Sale) -> None:
    assert sale
    assert send_request("GET", "/v1/events").status == 401
    assert send_request("POST", "/v1/events").status == 401
