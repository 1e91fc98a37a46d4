"""A partner's requests to the hot door, and its keys."""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from django.test import Client

from flashsale.models import (
    Campaign,
    Channel,
    PartnerKey,
    Sale,
)
from flashsale.rules.signing import SignedRequest, signature_of
from tests.factories import PHONE, identity, open_now, tend
from tests.web.asgi import Reply, send_request


@dataclass
class Partner:
    """Requests of a channel to the hot door."""

    key: str
    sale: Sale
    line: str

    def post(self, verb: str, body: object = None, **headers: Any) -> Reply:
        path = f"/v1/sales/{self.sale.code}/lines/{self.line}/{verb}"
        return send_request("POST", path, body, authorization=f"Bearer {self.key}", **headers)

    def enter(self, name: str) -> str:
        """Enters and returns the place token."""
        reply = self.post("enter", {"identity": {axis.value: value for axis, value in identity(name).items()}})
        assert reply.status in {200, 201}, reply.body
        return reply.json["place"]

    def reserve(self, place: str, sku: str = PHONE, quantity: Any = 1, key: str = "k1") -> Reply:
        body = {"place": place, "items": [{"sku": sku, "quantity": quantity}]}
        return self.post("reserve", body, idempotency_key=key)

    @property
    def http(self) -> dict[str, str]:
        """The header for Django's test client."""
        return {"authorization": f"Bearer {self.key}"}


class Signer:
    """Signs requests with the secret of a partner's newest key."""

    def __init__(self, partner: Partner) -> None:
        self.key = PartnerKey.objects.get(digest=PartnerKey.digest_of(partner.key))
        self.secret = PartnerKey.secret_in(self.key.sealed)

    def headers(
        self, method: str, target: str, body: object = None, *, key: str = "", nonce: str = "", at: float | None = None
    ) -> dict[str, str]:
        """The headers of a signed request for `send_request`, which writes the body as JSON."""
        sent = b"" if body is None else json.dumps(body).encode()
        timestamp, nonce = str(int(time.time() if at is None else at)), nonce or secrets.token_urlsafe(24)
        request = SignedRequest(method, target, sent, key, "", timestamp, nonce)
        found = {
            "flashsale_signature": signature_of(self.secret, request),
            "flashsale_timestamp": timestamp,
            "flashsale_nonce": nonce,
        }
        return found | ({"idempotency_key": key} if key else {})


def key_of(campaign: Campaign, code: str) -> str:
    """A new key of a channel."""
    return PartnerKey.make(Channel.objects.get(campaign=campaign, code=code))[1]


WHO = {axis.value: value for axis, value in identity("ani").items()}


ORDER = {
    "identity": {**WHO, "address": "Jl. Merdeka 17, Bandung"},
    "contact": {"name": "Ani", "address": "Jl. Merdeka 17, Bandung", "phone": WHO["phone"], "email": WHO["email"]},
    "language": "id",
    "price": 1_799_000,
    "method": "qris",
    "instrument": "demo-wallet",
}


class Shop:
    """Requests of a channel to the REST API."""

    def __init__(self, partner: Partner) -> None:
        self.client = Client(headers=partner.http)

    def post(self, id_: str, verb: str, body: object = None, key: str = "k1", **headers: str) -> Any:
        return self.client.post(
            f"/v1/reservations/{id_}/{verb}", body or {}, "application/json",
            headers={"idempotency-key": key} | headers,
        )  # fmt: skip

    def get(self, path: str = "") -> Any:
        return self.client.get(f"/v1/reservations{path}")


def path_of(id_: str) -> str:
    """The path at which a reservation is paid."""
    return f"/v1/reservations/{id_}/confirm"


def hot(partner: Partner, id_: str, body: object, *, key: str = "k1", **headers: str) -> Reply:
    """Pays a reservation at the hot door."""
    sent = {"authorization": f"Bearer {partner.key}", "idempotency_key": key} | headers
    given: dict[str, Any] = {name: value for name, value in sent.items() if value}
    return send_request("POST", path_of(id_), body, **given)


def contact_of(who: dict[str, str]) -> dict[str, str]:
    """The contact of the person with this identity."""
    return {"name": "Ani", "address": "Jl. Merdeka 17, Bandung", "phone": who["phone"], "email": who["email"]}


def called_at(partner: Partner, sale: Sale, count: int) -> tuple[Sale, list[tuple[str, dict[str, str]]]]:
    """This many people who hold a unit each: the reservation, and their identity."""
    names = [f"person-{n}" for n in range(count)]
    places = [partner.enter(name) for name in names]
    for _frozen_then_called in range(2):
        open_now(sale)
        tend(sale)
    held = [partner.reserve(place, key=name) for place, name in zip(places, names, strict=True)]
    assert {reply.status for reply in held} == {201}, [reply.body for reply in held]
    who = [{axis.value: value for axis, value in identity(name).items()} for name in names]
    return sale, [(reply.json["reservation"], one) for reply, one in zip(held, who, strict=True)]
