"""Measures over HTTP: the hot door as granian serves it, and the controls, each with its CPU time."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from flashsale.gate import bridge
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.identity import Axis
from flashsale.rules.tokens import Place
from simulation.bench import fixtures, load
from simulation.bench.cpu import cpu_seconds
from simulation.bench.load import LoadResult
from simulation.isolated_servers import IsolatedServers
from simulation.processes import Process, free_port, wait_http
from simulation.servers import HOST

WORKERS = 2
WARM_UP = 200


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a load: CPU seconds of the server, Redis and PostgreSQL (0 if the bench did not start it)."""

    load_result: LoadResult
    server_s: float
    redis_s: float
    books_s: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.load_result.count / self.load_result.seconds

    @property
    def micros(self) -> float:
        """CPU of server and Redis, in µs per request."""
        return (self.server_s + self.redis_s) / self.load_result.count * 1e6

    @property
    def books_micros(self) -> float:
        """CPU of PostgreSQL, in µs per request."""
        return self.books_s / self.load_result.count * 1e6

    def summary(self) -> str:
        """One line for the table; names answers with status 5xx and lost answers."""
        wrong = {status: count for status, count in self.load_result.answers.items() if status >= 500 or status == 0}
        return f"{self.rate:,.0f}/s, p50 {self.load_result.p50:.1f} ms, p99 {self.load_result.p99:.1f} ms" + (
            f", WRONG {wrong}" if wrong else ""
        )


@dataclass(frozen=True, slots=True)
class Server:
    """A running web server, with the Redis and PostgreSQL that it uses."""

    port: int
    process: Process
    servers: IsolatedServers

    def cost(
        self,
        requests: Sequence[bytes],
        *,
        seconds: float,
        expect: int,
        connections: int = 32,
        warm_up: int = WARM_UP,
        enough: float = 0.99,
    ) -> Cost:
        """Sends some requests to warm up, then the others, and measures.

        Raises FixtureError when a smaller part than `enough` of the answers has the status `expect`.
        """
        if not warm_up:
            pass
        elif len(requests) > warm_up:
            load.send(port=self.port, requests=requests[:warm_up], seconds=seconds, connections=connections)
            requests = requests[warm_up:]
        else:
            load.send(port=self.port, requests=requests, seconds=0.5)
        before = self._spent()
        load_result = load.send(port=self.port, requests=requests, seconds=seconds, connections=connections)
        spent = [after - first for after, first in zip(self._spent(), before, strict=True)]
        if load_result.answers.get(expect, 0) < enough * load_result.count or not load_result.count:
            raise fixtures.FixtureError(
                f"expected {expect}, got {load_result.answers}: {self.process.last_log_lines()}"
            )
        return Cost(load_result, *spent)

    def _spent(self) -> tuple[float, float, float]:
        books = self.servers.postgres
        return (
            cpu_seconds(self.process.pid),
            cpu_seconds(self.servers.redis.pid),
            cpu_seconds(books.pid) if books else 0.0,
        )


@contextmanager
def doors(servers: IsolatedServers, env: dict[str, str] | None = None, *, workers: int = WORKERS) -> Iterator[Server]:
    """Runs the hot door and the empty answer."""
    options = ["--interface", "asgi", "--loop", "uvloop", "--no-ws", "--http", "1"]
    with _granian(
        "doors", [*options, "simulation.bench.asgi:application"], "/empty", servers, env=env or {}, workers=workers
    ) as server:
        yield server


@contextmanager
def web(servers: IsolatedServers, env: dict[str, str] | None = None, *, workers: int = WORKERS) -> Iterator[Server]:
    """Runs the pages and the REST API in a server of their own, as in production."""
    options = ["--interface", "wsgi", "--http", "1", "--blocking-threads", "8", "config.wsgi:application"]
    with _granian("web", options, "/livez", servers, env=env or {}, workers=workers) as server:
        yield server


@contextmanager
def control(servers: IsolatedServers) -> Iterator[Server]:
    """Runs plain Django: a bare view, and the control's reservation."""
    env = {"DJANGO_SETTINGS_MODULE": "simulation.bench.control_settings"}
    options = ["--interface", "wsgi", "--http", "1", "--blocking-threads", "1"]
    with _granian(
        "control",
        [*options, "--factory", "django.core.wsgi:get_wsgi_application"],
        "/bare",
        servers,
        env=env,
        workers=WORKERS,
    ) as server:
        yield server


@contextmanager
def _granian(
    name: str, options: list[str], ready: str, servers: IsolatedServers, *, env: dict[str, str], workers: int
) -> Iterator[Server]:
    port = free_port()
    where = ["--host", HOST, "--port", str(port), "--workers", str(workers), "--no-access-log"]
    command = [sys.executable, "-m", "granian", *where, *options]
    log = Path(settings.VAR_DIR) / "log" / f"{name}.log"
    with Process(name=name, command=command, log=log, env=env, cwd=settings.BASE_DIR) as process:
        wait_http(f"http://{HOST}:{port}{ready}", process=process, seconds=60)
        yield Server(port, process, servers)


def get(path: str) -> bytes:
    """The bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def post(path: str, key: str, body: dict[str, object], **headers: str) -> bytes:
    """The bytes of a partner's POST request."""
    sent = json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n{more}"
        f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
    )
    return head.encode() + sent


def path_of(card: SaleCard, line: LineCard, verb: str) -> str:
    """The path of a verb at the hot door."""
    return f"/v1/sales/{card.code}/lines/{line.code}/{verb}"


def enters(card: SaleCard, line: LineCard, key: str, *, most: int, first: int = 0) -> list[bytes]:
    """Requests of `most` new people who enter."""
    path = path_of(card, line, "enter")
    return [post(path, key, {"identity": identity(number)}) for number in range(first, first + most)]


def identity(number: int) -> dict[str, str]:
    """The raw values of person `number`, by axis."""
    known = {Axis.PHONE: f"0812{number:08d}", Axis.EMAIL: f"b{number}@example.com", Axis.PAYMENT: f"card-{number}"}
    return {axis.value: value for axis, value in known.items()}


def looks(card: SaleCard, line: LineCard, key: str, entered: Sequence[Place]) -> list[bytes]:
    """Requests of people who look at their place, ten times each."""
    path = path_of(card, line, "look")
    return [post(path, key, {"place": places.seal(place)}) for place in entered] * 10


def reserves(card: SaleCard, line: LineCard, key: str, entered: Sequence[Place]) -> list[bytes]:
    """Requests to reserve one unit for each place."""
    path, items = path_of(card, line, "reserve"), [{"sku": fixtures.SKU, "quantity": 1}]
    return _requests(
        entered,
        lambda token, key_of_request: post(path, key, {"place": token, "items": items}, Idempotency_Key=key_of_request),
    )


def control_reserves(line: LineCard, key: str, entered: Sequence[Place]) -> list[bytes]:
    """The same requests for the control."""
    path = f"/lines/{line.id}/reserve"
    return _requests(
        entered,
        lambda token, key_of_request: post(
            path, key, {"place": token, "sku": fixtures.SKU}, Idempotency_Key=key_of_request
        ),
    )


def _requests(entered: Sequence[Place], make_request: Callable[[str, str], bytes]) -> list[bytes]:
    return [make_request(places.seal(place), f"bench-{place.line}-{place.index}") for place in entered]


def waiting(card: SaleCard, line: LineCard, people: int) -> list[Place]:
    """Lets `people` new people enter a line, and returns their places."""
    return bridge.run(fixtures.fill(card, line, [fixtures.random_person() for _ in range(people)]))
