"""Bodies that arrive slowly, over real connections: one client cannot take a door away from the others."""

import http.client
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import redis
from django.core.management import call_command
from pytest_django import DjangoDbBlocker, Settings

from flashsale.web.hot import http as door_http
from flashsale.web.hot.http import HotRequest
from flashsale.web.problems import Fault
from simulation.processes import Process, free_port, wait_http
from tests import servers
from tests.factories import identity, lobby_sale
from tests.web.partner import key_of

pytestmark = pytest.mark.django_db
SLOW_BODIES = 4
ATTACKER, SHOPPER = "127.0.0.2", "127.0.0.3"


@dataclass(frozen=True)
class Door:
    """A web process that serves the hot door and Django, and a partner's key for it."""

    port: int
    enter: str
    key: str

    def head(self, path: str, length: int, **headers: str) -> bytes:
        sent = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Content-Length": str(length),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        return (f"POST {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in sent.items()) + "\r\n").encode()

    def begin(self, path: str, client: str, **headers: str) -> socket.socket:
        """Sends the headers and the first byte of a body."""
        link = socket.create_connection(("127.0.0.1", self.port), timeout=120, source_address=(client, 0))
        link.sendall(self.head(path, 100, **headers) + b"{")
        return link

    def post(self, client: str, name: str) -> int:
        """The status of a whole request."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120, source_address=(client, 0))
        body = json.dumps({"identity": {axis.value: value for axis, value in identity(name).items()}})
        link.request(
            "POST", self.enter, body, {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        )
        status = link.getresponse().status
        link.close()
        return status


@pytest.fixture(scope="module")
def door(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    """A web process that takes four slow bodies of a client, and believes X-Forwarded-For from 127.0.0.4."""
    folder, port = tmp_path_factory.mktemp("door"), free_port()
    with redis.Redis.from_url(redis_url) as eraser, django_db_blocker.unblock():
        eraser.flushall()
        sale = lobby_sale(channels=("lazada",))
        key = key_of(sale.campaign, "lazada")
        env = {
            "FLASHSALE_DEMO": "1", "FLASHSALE_VAR": str(folder), "DATABASE_URL": servers.books_url(),
            "FLASHSALE_SLOW_BODIES": str(SLOW_BODIES), "FLASHSALE_TRUSTED_PROXIES": "127.0.0.4/32",
        }  # fmt: skip
        command = [
            sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--http", "1", "--loop", "uvloop", "config.asgi:application",
        ]  # fmt: skip
        with Process(name="granian", command=command, log=folder / "granian.log", env=env) as server:
            wait_http(f"http://127.0.0.1:{port}/livez", process=server)
            yield Door(port, f"/v1/sales/{sale.code}/lines/lazada/enter", key)
        call_command("flush", interactive=False, verbosity=0)


def answers(links: list[socket.socket], within_s: float) -> list[bytes]:
    """What each connection has received when the server has closed it; empty where it is open after this time."""
    until, heard = time.monotonic() + within_s, []
    for link in links:
        text = b""
        try:
            while True:
                link.settimeout(max(0.05, until - time.monotonic()))
                piece = link.recv(4096)
                if not piece:
                    break
                text += piece
        except TimeoutError:
            text = b""
        heard.append(text)
    return heard


@pytest.mark.parametrize("path", ["hot door", "/v1/payments/demo"])
def test_one_client_with_many_slow_bodies_is_refused_beyond_its_bound_and_another_is_served(
    door: Door, path: str
) -> None:
    with ExitStack() as stack:
        where, tag = (door.enter, "hot") if path == "hot door" else (path, "api")
        links = [stack.enter_context(door.begin(where, ATTACKER)) for _ in range(3 * SLOW_BODIES)]
        assert door.post(SHOPPER, f"before-{tag}") == 201
        heard = answers(links, within_s=4)
        refused = [text for text in heard if text]
        assert len(refused) == 2 * SLOW_BODIES
        for text in refused:
            head, _, body = text.partition(b"\r\n\r\n")
            assert (head.split()[1], json.loads(body)["code"]) == (b"429", "too_many_requests")
            assert b"retry-after: 1" in head.lower()
        slow = stack.enter_context(door.begin(where, SHOPPER))
        assert answers([slow], within_s=2.5) == [b""]  # another client may be slow, too
        assert (door.post(SHOPPER, f"after-{tag}"), door.post(ATTACKER, f"whole-{tag}")) == (201, 201)


def test_all_addresses_of_one_ipv6_network_are_one_client(door: Door) -> None:
    networks = ["2001:db8:0:1:", "2001:db8:0:2:"]
    with ExitStack() as stack:
        links = [
            stack.enter_context(door.begin(door.enter, "127.0.0.4", X_Forwarded_For=f"{network}:{n:x}"))
            for n in range(1, SLOW_BODIES + 2)
            for network in networks
        ]
        heard = answers(links, within_s=4)
    assert Counter(n % 2 for n, text in enumerate(heard) if text) == {0: 1, 1: 1}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["hot door", "/v1/payments/demo"])
def test_a_body_that_arrives_byte_by_byte_is_given_up_after_ten_seconds(door: Door, path: str) -> None:
    with door.begin(door.enter if path == "hot door" else path, ATTACKER) as link:
        link.settimeout(1)
        began, text = time.monotonic(), b""
        while not text and time.monotonic() < began + 120:
            link.sendall(b" ")
            try:
                text = link.recv(4096)
            except TimeoutError:
                continue
        assert text.split()[1] == b"408"
        assert time.monotonic() - began > 9


def test_reading_ends_only_for_what_is_slow(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.FLASHSALE_SLOW_BODIES = 2

    class Task:
        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    def read(began: float, address: str) -> tuple[Task, door_http._Read]:
        scope = {"method": "POST", "client": (address, 1), "headers": []}
        return Task(), door_http._Read(began, HotRequest(scope, None))

    reads = [read(0.0, "192.0.2.1"), *(read(8.0, "192.0.2.2") for _ in range(3)), read(9.5, "192.0.2.2")]
    monkeypatch.setattr(door_http, "_reads", dict(reads))
    for _ in range(2):
        door_http._end_slow_reads(10.5)
    assert [task.cancelled for task, _ in reads] == [True, False, False, True, False]
    refusals = [entry.ended() for _, entry in reads if entry.ended]
    assert [(refusal.fault, refusal.retry_after_s) for refusal in refusals] == [
        (Fault.TOO_SLOW, None), ("too_many_requests", 1),
    ]  # fmt: skip
