"""A shopper on our own page without a browser: Django's test client and the hot door share cookies."""

import json
from typing import Any

from django.core import mail
from django.test import Client

from flashsale.models import Sale
from flashsale.rules.identity import Axis
from tests.factories import PHONE, identity
from tests.web.asgi import Reply, send_request


class Visitor:
    """A browser with its cookies."""

    def __init__(self, sale: Sale, name: str = "ani", **headers: str) -> None:
        self.sale = sale
        self.client = Client(headers={"accept-language": "en"} | headers)
        self.contacts = {axis.value: value for axis, value in identity(name).items() if axis in Axis}

    def get(self, path: str = "") -> Any:
        return self.client.get(f"/s/{self.sale.code}/{path}")

    def post(self, path: str, body: object, **headers: str) -> Any:
        text = body if isinstance(body, str) else json.dumps(body)
        return self.client.post(f"/s/{self.sale.code}/{path}", text, content_type="application/json", headers=headers)

    def act(self, reservation: str, action: str, *, follow: bool = False, **fields: str) -> Any:
        """Sends a form of the order page."""
        return self.client.post(f"/s/{self.sale.code}/order/{reservation}/{action}", fields, follow=follow)

    def hot(self, verb: str, body: object = None, **headers: Any) -> Reply:
        """Calls a verb of the hot door and keeps the cookies that it sets."""
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in self.client.cookies.items())
        path = f"/v1/sales/{self.sale.code}/lines/mi.com/{verb}"
        reply = send_request("POST", path, body or {}, origin="http://testserver", cookie=cookies, **headers)
        self.client.cookies.load(reply.headers.get("set-cookie", ""))
        return reply

    def codes(self) -> dict[str, str]:
        """Requests codes and reads them from the outbox: the fields for `prove`."""
        mail.outbox.clear()
        challenges = self.post("codes", self.contacts).json()["challenges"]
        read = {("email" if "example" in letter.to[0] else "phone"): letter.subject[-6:] for letter in mail.outbox}
        return challenges | {f"{axis}_code": code for axis, code in read.items()}

    def enter(self) -> Reply:
        assert self.post("prove", self.codes()).status_code == 200
        return self.hot("enter")

    def reserve(self) -> str:
        """The id of a reservation made with this visitor's place."""
        reply = self.hot("reserve", {"items": [{"sku": PHONE, "quantity": 1}]}, idempotency_key="k")
        assert reply.status == 201, reply.body
        return str(reply.json["reservation"])

    def confirm(self, reservation: str, /, *, key: str | None = None, **changes: str) -> Any:
        body = self.contacts | {
            "reservation": reservation, "amount": "1799000", "name": "Ani", "address": "Jl. Melati 7, Bandung",
            "method": "qris", "instrument": "ani-bank",
        }  # fmt: skip
        headers = {"idempotency-key": key} if key else {}
        return self.post("confirm", body | changes, **headers)
