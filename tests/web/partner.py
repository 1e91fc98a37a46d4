"""A partner's requests to the hot door, and its keys."""

from dataclasses import dataclass
from typing import Any

from flashsale.models import (
    Campaign,
    Channel,
    PartnerKey,
    Sale,
)
from tests.factories import PHONE, identity
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
