"""The two ways into a sale: a partner and our own page. Both record all URLs of requests and answers."""

import io
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flashsale.models import Sale
from tests.privacy.canary import IP
from tests.web.asgi import Reply, send_request
from tests.web.partner import key_of

LINK = re.compile(rb"(?:href|src|action|content)=\"([^\"]*)\"")


@dataclass
class Trail:
    """What a test leaves behind: the commands to Redis, the logs, and the URLs of requests and answers."""

    heard: list[bytes]
    logs: io.StringIO
    urls: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: object = None, **headers: Any) -> Reply:
        """Sends one request. Records its URL and the URLs in the answer."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        reply = send_request(method, path, raw=[text], content_length=str(len(text)), **headers)
        found = [link.decode() for link in LINK.findall(reply.body)]
        self.urls += [path, reply.headers.get("location", ""), reply.headers.get("link", ""), *found]
        return reply


class Partner:
    """The servers of a partner, through which the person enters."""

    def __init__(self, trail: Trail, sale: Sale) -> None:
        self.trail, self.sale, self.key = trail, sale, key_of(sale.campaign, "lazada")

    def hot(self, verb: str, body: object, **headers: Any) -> Reply:
        path = f"/v1/sales/{self.sale.code}/lines/lazada/{verb}"
        return self.trail.ask("POST", path, body, authorization=f"Bearer {self.key}", **headers)

    def rest(self, method: str, path: str, body: object = None, key: str = "once") -> Reply:
        path = f"/v1/reservations{path}"
        return self.trail.ask(method, path, body, authorization=f"Bearer {self.key}", idempotency_key=key)


class Browser:
    """The person's browser on our own page. It keeps cookies and sends what the page's script sends."""

    def __init__(self, trail: Trail, sale: Sale) -> None:
        self.trail, self.sale = trail, sale
        self.cookies: dict[str, str] = {}

    def open(self) -> Reply:
        return self.ask("GET", f"/s/{self.sale.code}/")

    def post(self, name: str, body: object) -> Reply:
        return self.ask("POST", f"/s/{self.sale.code}/{name}", body, x_csrftoken=self.cookies["csrftoken"])

    def hot(self, verb: str, body: object, **headers: Any) -> Reply:
        return self.ask("POST", f"/v1/sales/{self.sale.code}/lines/mi.com/{verb}", body, **headers)

    def submit(self, path: str, **fields: str) -> Reply:
        """Sends a form of the page."""
        body = urlencode(fields | {"csrfmiddlewaretoken": self.cookies["csrftoken"]}).encode()
        return self.ask("POST", path, body, content_type="application/x-www-form-urlencoded")

    def ask(self, method: str, path: str, body: object = None, **headers: Any) -> Reply:
        sent = {
            "origin": "http://testserver",
            "x_forwarded_for": IP,
            "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()),
        }
        reply = self.trail.ask(method, path, body, **sent | headers)
        for cookie in reply.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return reply
