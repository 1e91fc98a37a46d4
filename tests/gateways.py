"""What tests need around a simulated gateway: a shop that receives webhooks, and a plain HTTP client.

The fixtures `midtrans` and `xendit` (tests/conftest.py) give a `Gateway` that has forgotten all earlier tests.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from simulation.gateways.client import Gateway

# 10 o'clock in Jakarta.
START = datetime(2026, 11, 29, 3, 0, tzinfo=UTC)
AMOUNT = 1_799_000


class Received(NamedTuple):
    """One webhook as the shop got it. The names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class Shop:
    """An HTTP server that keeps the webhooks that it gets, and answers with the next status of `answers`, else 200.

    `location` is where a redirect leads to.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/webhooks"
        self.received: list[Received] = []
        self.answers: list[int] = []
        self.location = ""

    @property
    def bodies(self) -> list[Any]:
        """The bodies of all webhooks so far, read."""
        return [one.json for one in self.received]


class _Handler(BaseHTTPRequestHandler):
    shop: Shop

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = {name.lower(): value for name, value in self.headers.items()}
        self.shop.received.append(Received(self.path, names, body))
        self.send_response(self.shop.answers.pop(0) if self.shop.answers else 200)
        if self.shop.location:
            self.send_header("Location", self.shop.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def shop_server() -> Iterator[Shop]:
    """Runs a shop."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        shop = Shop(server.server_address[1])
        server.RequestHandlerClass = type("Handler", (_Handler,), {"shop": shop})
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield shop
        server.shutdown()


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits at most two minutes for what another process or thread does."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "It does not happen."
        time.sleep(0.005)


class Answer(NamedTuple):
    """The answer of a gateway's API. The names of headers are in lower case."""

    status: int
    body: Any
    headers: Mapping[str, str]


def call(
    gateway: Gateway,
    verb: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    key: str | None = None,
    timeout: float = 10.0,
) -> Answer:
    """One call of a gateway's API. A body of bytes goes as it is; anything else as JSON."""
    at = urlsplit(gateway.url)
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    who = base64.b64encode(f"{gateway.key if key is None else key}:".encode()).decode()
    usual = {"Authorization": f"Basic {who}", "Content-Type": "application/json", "Accept": "application/json"}
    if gateway.name == "xendit":
        usual["api-version"] = "2024-11-11"
    link = HTTPConnection(at.hostname, at.port, timeout=timeout)
    try:
        link.request(verb, path, sent, {**usual, **(headers or {})})
        answer = link.getresponse()
        text = answer.read()
    finally:
        link.close()
    kind = answer.headers.get_content_type()
    names = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(answer.status, json.loads(text) if kind == "application/json" else text, names)


def charge(
    midtrans: Gateway,
    reference: str = "fs-1",
    *,
    amount: Any = AMOUNT,
    kind: str = "qris",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    """Charges with Midtrans."""
    order = {"order_id": reference, "gross_amount": amount}
    body = {"payment_type": kind, "transaction_details": order, **more}
    return call(midtrans, "POST", "/v2/charge", body, headers=headers)


def request(
    xendit: Gateway, reference: str = "fs-1", *, amount: Any = AMOUNT, channel: str = "QRIS", **more: Any
) -> Answer:
    """Makes a payment request with Xendit."""
    properties: dict[str, Any] = {}
    if channel.endswith("_VIRTUAL_ACCOUNT"):
        properties = {"display_name": "Shop"}
    elif channel == "OVO":
        properties = {"account_mobile_number": "+628123456789"}
    elif channel != "QRIS":
        properties = dict.fromkeys(("success_return_url", "failure_return_url"), "https://shop.example/")
    body = {
        "reference_id": reference, "type": "PAY", "country": "ID", "currency": "IDR", "request_amount": amount,
        "capture_method": "AUTOMATIC", "channel_code": channel, "channel_properties": properties, **more,
    }  # fmt: skip
    return call(xendit, "POST", "/v3/payment_requests", body)


def request_id(xendit: Gateway, channel: str = "QRIS", **more: Any) -> str:
    """Makes a payment request. Returns its id."""
    return request(xendit, channel=channel, **more).body["payment_request_id"]


def paid_request(xendit: Gateway, channel: str = "QRIS", issuer: str = "", **more: Any) -> str:
    """Makes a payment request and pays it. Returns its id."""
    name = request_id(xendit, channel, **more)
    assert xendit.control.pay(xendit.control.codes("fs-1")[-1].value, issuer=issuer).accepted
    return name


def xendit_error(answer: Answer) -> tuple[int, str]:
    """The HTTP status and the code of a refusal of Xendit, which has nothing else."""
    assert set(answer.body) == {"error_code", "message"}
    return answer.status, answer.body["error_code"]
