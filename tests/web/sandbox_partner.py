"""A partner with a test key of its sandbox."""

import itertools
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.test import Client

from flashsale.life import expire_without_gate, sandbox, sweep_payments
from flashsale.models import Channel, PartnerKey, Sale
from flashsale.rules.conformance import CHECKS
from flashsale.rules.magic import BY_NAME
from flashsale.web.hot import partners
from tests.factories import identity, open_now, rewrite, tend
from tests.web.asgi import Reply
from tests.web.partner import Partner, Shop, hot

_serial = itertools.count(1)


def sandbox_key(sale: Sale, code: str = "lazada") -> str:
    """A test key of a channel of a live sale."""
    channel = Channel.objects.get(campaign=sale.campaign, code=code)
    key = PartnerKey.make(sandbox.sandbox_channel(channel))[1]
    partners.forget_keys()
    return key


class SandboxPartner:
    """A partner with a test key, and a test sale."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.client = Client(headers={"authorization": f"Bearer {key}"})

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        return self.client.post(f"/v1/test/{path}", body or {}, "application/json", headers=headers)

    def get(self, path: str) -> Any:
        return self.client.get(f"/v1/test/{path}").json()

    def make(self, *, key: str | None = None, **wanted: int) -> "SandboxPartner":
        reply = self.post(
            "sales", {"lobby_s": 60, "claim_s": 300} | wanted, **{"idempotency-key": key or f"sale-{next(_serial)}"}
        )
        assert reply.status_code == 200, reply.content
        self.document = reply.json()
        self.sale = Sale.objects.get(code=self.document["sale"])
        self.partner = Partner(self.key, self.sale, "test")
        self.shop = Shop(self.partner)
        return self

    def open(self) -> None:
        for _drawn_then_called in range(2):
            open_now(self.sale)
            tend(self.sale)

    def enter(self, who: dict[str, str]) -> Reply:
        return self.partner.post("enter", {"identity": who})

    def reserve(self, place: str, key: str = "k1") -> Reply:
        return self.partner.reserve(place, sku="TEST-A", key=key)

    def called(self, *people: dict[str, str]) -> list[str]:
        """The places of people who have entered before the opening, and are called."""
        places = [self.enter(who).json["place"] for who in people]
        self.open()
        return places

    def order(self, who: dict[str, str], instrument: str = "any-card") -> dict[str, Any]:
        contact = {"name": "Ani", "address": "Jl. Merdeka 17", "phone": "081234567890", "email": "ani@example.com"}
        return {
            "identity": who, "contact": contact, "price": 100_000, "method": "qris", "instrument": instrument,
        }  # fmt: skip

    def confirm(self, id_: str, who: dict[str, str], instrument: str = "any-card", key: str = "pay-1") -> Reply:
        return hot(self.partner, id_, self.order(who, instrument), key=key)

    def expire(self) -> None:
        """Lets a hold end whose deadline has passed."""
        expire_without_gate.expire_without_gate()

    def sweep(self) -> None:
        """Works off what waits for the bank."""
        sweep_payments.work_off_all()

    def checks(self, **query: str) -> dict[str, bool]:
        found = self.client.get("/v1/test/conformance", query).json()
        assert [check["name"] for check in found["checks"]] == [check.name for check in CHECKS]
        assert found["passed"] == sum(check["passed"] for check in found["checks"])
        return {check["name"]: check["passed"] for check in found["checks"]}


def ordinary(name: str = "") -> dict[str, str]:
    return {axis.value: value for axis, value in identity(name or f"person-{next(_serial)}").items()}


def magic(name: str) -> dict[str, str]:
    """A person with this magic in the e-mail, and an ordinary phone."""
    number = next(_serial)
    return {"phone": f"0812{number:08d}", "email": BY_NAME[name].email(str(number))}


def age(sale: Sale, by: timedelta) -> None:
    """Moves the times of a test sale into the past."""
    rewrite(
        Sale.objects.filter(pk=sale.pk),
        lobby_at=F("lobby_at") - by, opens_at=F("opens_at") - by, closes_at=F("closes_at") - by,
    )  # fmt: skip
