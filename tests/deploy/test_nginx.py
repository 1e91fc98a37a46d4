"""nginx in front of the hot door: more clients that poll a line mean no more work for it. Nothing else is cached."""

import gzip
import http.client
import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest
import redis
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from flashsale.models import Sale
from flashsale.rules import polling
from flashsale.web.hot.door import METHODS
from simulation.nginx_server import find_program, serving
from simulation.processes import Process, free_port, wait_http
from tests import servers
from tests.deploy.edge import Edge
from tests.factories import identity, lobby_sale
from tests.web.partner import key_of

# So that there is a database. The web process does not see what a test writes in its transaction.
pytestmark = pytest.mark.django_db
CLIENTS = 64
POLLING_S = 4.0
PER_LINE_AND_S = 2


@pytest.fixture(scope="module")
def nginx() -> str:
    """The path of the machine's nginx. Without one, the tests are skipped."""
    found = find_program()
    if not found:
        pytest.skip("no nginx")
    return found


@pytest.fixture(scope="module")
def sale(django_db_setup: None, django_db_blocker: DjangoDbBlocker, redis_url: str) -> Iterator[tuple[Sale, str]]:
    """A sale in its lobby, for all tests of this file, and a partner's key."""
    with redis.Redis.from_url(redis_url) as eraser, django_db_blocker.unblock():
        eraser.flushall()
        made = lobby_sale(channels=("lazada", "akulaku"))
        yield made, key_of(made.campaign, "lazada")
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def granian(sale: tuple[Sale, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, int]]:
    """The supervisor process of one web process, and its port."""
    folder, port = tmp_path_factory.mktemp("door"), free_port()
    env = {"FLASHSALE_DEMO": "1", "FLASHSALE_VAR": str(folder), "DATABASE_URL": servers.books_url()}
    command = [
        sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--workers",
        "1", "config.asgi:application",
    ]  # fmt: skip
    with Process(name="granian", command=command, log=folder / "granian.log", env=env) as server:
        wait_http(f"http://127.0.0.1:{port}/livez", process=server)
        yield server, port


@pytest.fixture(scope="module")
def door(granian: tuple[Process, int]) -> int:
    """The port of the web process."""
    return granian[1]


@pytest.fixture
def edge(nginx: str, sale: tuple[Sale, str], door: int, tmp_path: Path) -> Iterator[Edge]:
    """nginx with an empty cache."""
    with serving(nginx, door, tmp_path) as (process, port):
        yield Edge(process, port, tmp_path, *sale)


def _poll(edge: Edge, path: str, until: float, told: list[tuple[int, str]], number: int) -> None:
    """One client, with its own cookie and one connection, that polls until the time `until`."""
    link = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=120)
    while time.monotonic() < until:
        link.request("GET", f"{path}?client={number}", headers={"Cookie": f"fs_place_x={number}"})
        answer = link.getresponse()
        told.append((answer.status, str(json.loads(answer.read())["line"])))
        time.sleep(0.02)
    link.close()


@pytest.mark.slow
def test_sixty_four_clients_cost_the_door_what_one_costs(edge: Edge) -> None:
    lines = {line: edge.path(line=line) for line in ("lazada", "akulaku")}
    told: list[tuple[int, str]] = []
    began = time.monotonic()
    until = began + POLLING_S
    clients = [
        threading.Thread(target=_poll, args=(edge, path, until, told, number))
        for number in range(CLIENTS // 2) for path in lines.values()
    ]  # fmt: skip
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    counted = Counter(told)
    assert set(counted) == {(200, "lazada"), (200, "akulaku")}
    took_s = time.monotonic() - began
    asked = {line: edge.passed_on(path) for line, path in lines.items()}
    assert all(1 < times <= took_s * PER_LINE_AND_S for times in asked.values()), asked
    assert min(counted.values()) > 2 * max(asked.values())


@pytest.mark.slow
def test_no_status_is_older_than_people_who_poll_by_distance_rely_on(edge: Edge) -> None:
    ages, began = [], time.monotonic()
    while time.monotonic() < began + POLLING_S:
        asked_ms = time.time() * 1000
        made_ms = json.loads(edge.ask("GET", edge.path()).body)["now"]
        ages.append(asked_ms - made_ms)
        time.sleep(0.02)
    took_s = time.monotonic() - began
    assert max(ages) <= polling.STALE_MS
    assert 1 < edge.passed_on(edge.path()) <= took_s * PER_LINE_AND_S
    assert len(ages) > edge.passed_on(edge.path())


@pytest.mark.skipif("sys.platform != 'linux'", reason="not Linux: the scheduling policy of threads")
def test_no_thread_of_a_door_takes_the_core_from_another_that_works(granian: tuple[Process, int]) -> None:
    keeper = Path(f"/proc/{granian[0].pid}/task")
    doors = [pid for task in keeper.iterdir() for pid in (task / "children").read_text().split()]
    policies = [os.sched_getscheduler(int(task.name)) for pid in doors for task in Path(f"/proc/{pid}/task").iterdir()]
    assert len(policies) > 2
    assert set(policies) == {os.SCHED_BATCH}


def test_what_was_seen_before_is_answered_without_a_body(edge: Edge) -> None:
    first = edge.ask("GET", edge.path())
    again = edge.ask("GET", edge.path(), if_none_match=first.headers["etag"])
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert first.headers["cache-control"] == again.headers["cache-control"] == "public, max-age=0, s-maxage=1"
    assert edge.ask("GET", edge.path(), if_none_match='W/"another"').status == 200
    head = edge.ask("HEAD", edge.path())
    assert (head.status, head.body) == (200, b"")
    assert edge.passed_on(edge.path()) <= 2


def test_cookies_keys_languages_and_queries_make_no_second_document(edge: Edge) -> None:
    first = edge.ask("GET", edge.path())
    others = [
        edge.ask("GET", edge.path(), cookie="fs_place_x=1; sessionid=2"),
        edge.ask("GET", edge.path(), authorization="Bearer fs_live_none"),
        edge.ask("GET", edge.path(), accept_language="en"),
        edge.ask("GET", edge.path() + "?fresh=1", cache_control="no-cache"),
    ]
    assert {other.body for other in others} <= {first.body, others[-1].body}
    assert edge.passed_on(edge.path()) <= 2
    assert "x-request-id" not in first.headers


def test_no_other_spelling_of_its_path_puts_a_refusal_in_the_documents_place(edge: Edge) -> None:
    path = edge.path()
    spellings = {"/lazada": "/x/../lazada", "/lines": "//lines", "/status": "/%73tatus", "/v1": "/%2e/v1"}
    for was, becomes in spellings.items():
        strange = edge.ask("GET", path.replace(was, becomes, 1))
        assert (strange.status, edge.ask("GET", path).status) == (200, 200), becomes
        time.sleep(1.1)  # the cached document has expired by now


def test_every_verb_of_a_line_goes_to_the_door(nginx: str, sale: tuple[Sale, str], door: int, tmp_path: Path) -> None:
    with serving(nginx, door, tmp_path, web=free_port()) as (process, port):
        edge = Edge(process, port, tmp_path, *sale)
        assert edge.ask("GET", "/").status == 502
        found = {verb: edge.ask(METHODS[verb][0], edge.path(verb)).status for verb in METHODS}
    assert found == {verb: 200 if verb == "status" else 401 for verb in METHODS}


def test_metrics_cannot_be_read_from_outside_however_the_path_is_spelled(edge: Edge) -> None:
    for path in ("/metrics", "//metrics", "/%6detrics", "/x/../metrics", "/metrics?x=1"):
        refused = edge.ask("GET", path, authorization="Bearer of-nobody-in-particular")
        # nginx itself answers, and not the application.
        assert (refused.status, refused.headers["content-type"], b"nginx" in refused.body) == (404, "text/html", True)


def test_pages_of_other_sites_get_the_kept_status_and_the_kept_script(edge: Edge) -> None:
    kept = [edge.ask("GET", edge.path(), origin=f"https://{name}.example") for name in "ab"]
    assert [reply.headers["access-control-allow-origin"] for reply in kept] == ["*", "*"]
    scripts = [edge.ask("GET", "/snippet.js", accept_encoding=encoding) for encoding in ("gzip", "gzip", "identity")]
    assert [reply.headers.get("content-encoding") for reply in scripts] == ["gzip", "gzip", None]
    assert gzip.decompress(scripts[0].body) == scripts[2].body
    told = [entry["cache"] for entry in edge.log_entries() if entry["path"] == "/snippet.js"]
    assert told == ["MISS", "HIT", "MISS"]


def test_each_line_is_an_entry_of_its_own(edge: Edge) -> None:
    lines = [json.loads(edge.ask("GET", edge.path(line=line)).body)["line"] for line in ("lazada", "akulaku")]
    assert lines == ["lazada", "akulaku"]


def test_a_line_that_is_not_there_is_asked_for_once_a_second_too(edge: Edge) -> None:
    answers = [edge.ask("GET", edge.path(line="none")) for _ in range(20)]
    assert {answer.status for answer in answers} == {404}
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert edge.passed_on(edge.path(line="none")) <= 2


def test_no_post_is_kept(edge: Edge) -> None:
    who = {axis.value: value for axis, value in identity("ani").items()}
    entered = [edge.post("enter", {"identity": who}) for _ in range(3)]
    assert [answer.status for answer in entered] == [201, 200, 200]
    assert len({json.loads(answer.body)["place"] for answer in entered}) == 3
    for verb in ("look", "receipt"):
        answers = [edge.post(verb, {"place": json.loads(entered[0].body)["place"]}) for _ in range(2)]
        assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
        assert len({answer.headers["x-request-id"] for answer in answers}) == 2
    assert edge.ask("POST", edge.path(), {}, content_type="application/json").status == 405
    assert {
        told["cache"] for told in edge.log_entries() if told["method"] == "POST" and told["path"] != edge.path()
    } == {""}


def test_a_body_over_eight_kilobytes_does_not_reach_the_door(edge: Edge) -> None:
    answer = edge.post("enter", {"identity": {"phone": "1" * 9000}})
    assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
    assert json.loads(answer.body)["code"] == "too_large"


def _begin_body(port: int, path: str, client: str) -> socket.socket:
    """Sends the headers and one byte of a body, as a client behind the proxy in front of nginx."""
    link = socket.create_connection(("127.0.0.1", port), timeout=5)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nContent-Length: 9\r\n\r\n{{"
    link.sendall(head.encode())
    return link


@pytest.mark.parametrize("path", ["/v1/sales/s/lines/l/enter", "/admin/login/"])
@pytest.mark.parametrize(
    ("attacker", "same", "other"),
    [
        ("192.0.2.{}", "192.0.2.1", "192.0.2.200"),
        ("2001:db8:0:7::{}", "2001:db8:0:7:1:2:3:4", "2001:db8:0:8::1"),
        ("2001:db8::{}", "2001:db8::5:6:7:8", "2001:db9::1"),
    ],
    ids=["IPv4", "IPv6", "IPv6 with zeros"],
)
def test_one_client_takes_no_more_than_its_share_of_the_connections(  # noqa: PLR0917 - the columns of the table
    nginx: str, origin: int, tmp_path: Path, attacker: str, same: str, other: str, path: str
) -> None:
    with serving(nginx, origin, tmp_path, front="127.0.0.0/8", clients=3) as (_, port), ExitStack() as stack:
        for n in range(3):
            stack.enter_context(_begin_body(port, path, attacker.format(1 if "." in attacker else n + 1)))
        time.sleep(0.2)
        with _begin_body(port, path, same) as link:
            head, _, body = link.recv(4096).partition(b"\r\n\r\n")
            assert (head.split()[1], json.loads(body)["code"]) == (b"429", "too_many_requests")
        with _begin_body(port, path, other) as link:
            link.settimeout(0.5)
            with pytest.raises(TimeoutError):  # nginx waits for the rest of the body
                link.recv(4096)


def test_headers_that_protect_are_said_once(edge: Edge) -> None:
    for path in (edge.path(), "/", "/v1/keys"):
        link = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=120)
        link.request("GET", path)
        names = Counter(name.lower() for name, _ in link.getresponse().getheaders())
        link.close()
        assert names["x-content-type-options"] == 1
        assert [name for name, times in names.items() if times > 1 and name != "set-cookie"] == []


def test_a_request_on_which_a_door_dies_goes_to_another_door(edge: Edge, door: int) -> None:
    one, died = f"server 127.0.0.1:{door};", []
    with socket.create_server(("127.0.0.1", 0)) as dying:
        dying.settimeout(10)

        def dies() -> None:
            link, _ = dying.accept()
            died.append(link.recv(65536))
            link.close()

        waiting = threading.Thread(target=dies)
        waiting.start()
        both = f"server 127.0.0.1:{dying.getsockname()[1]}; {one}"
        edge.reload(one, both)
        answers: list[int] = []
        deadline = time.monotonic() + 120
        while not died and time.monotonic() < deadline:
            # Another person each time, because the requests of one have a limit, and nginx reloads while they go on.
            answers.append(edge.post("enter", {"identity": identity(f"ani{len(answers)}")}).status)
        waiting.join()
        edge.reload(both, one)
    assert set(answers) <= {200, 201}
    assert b"/enter HTTP" in died[0]


class _CutOff(BaseHTTPRequestHandler):
    """A door whose host is cut off from the stores. It records headers, and dies on the next `dying` requests."""

    heard: ClassVar[list[dict[str, str]]] = []
    dying: ClassVar[int] = 0

    def do_POST(self) -> None:
        """Answers 503, and says that another door may have the request."""
        self.heard.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers["content-length"]))
        if self.dying:
            type(self).dying -= 1
            return
        self.send_response(503)
        self.send_header("X-Accel-Redirect", "@another_door")
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"off")

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


def test_a_door_that_is_cut_off_from_the_stores_hands_the_request_to_another_door(
    nginx: str, sale: tuple[Sale, str], door: int, tmp_path: Path
) -> None:
    _CutOff.heard.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _CutOff) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cut_off = f"127.0.0.1:{server.server_port}"
        with serving(nginx, [cut_off, f"127.0.0.1:{door}"], tmp_path, web=door) as (process, port):
            edge = Edge(process, port, tmp_path, *sale)
            statuses = [edge.post("enter", {"identity": identity(f"cut{n}")}).status for n in range(4)]
            assert statuses == [201] * 4
            assert 1 <= len(_CutOff.heard) <= 4
        # No door reaches the stores: the request ends, and the last one's answer is the client's.
        _CutOff.heard.clear()
        second = f"localhost:{server.server_port}"
        with serving(nginx, [cut_off, second], tmp_path, web=door) as (process, port):
            edge = Edge(process, port, tmp_path, *sale)
            answer = edge.post("enter", {}, x_request_start="t=1", x_another_door="@away")
            assert (answer.status, answer.body) == (503, b"off")
            assert [heard.get("x-another-door") for heard in _CutOff.heard] == ["@another_door", None, None]
            first, *again = (float(heard["x-request-start"].removeprefix("t=")) for heard in _CutOff.heard)
            assert again[0] == again[1] <= first
            # A door that dies on a request: the other one is told when nginx got it, whatever the client says.
            _CutOff.heard.clear()
            _CutOff.dying, before = 1, time.time()
            edge.post("reserve", {}, x_request_start="t=1")
            told = [float(heard["x-request-start"].removeprefix("t=")) for heard in _CutOff.heard]
            assert told[0] == told[1]
            assert before - 0.01 <= told[0] <= time.time()
            # A door that is cut off hands a confirmation over, too. All doors get the same time.
            _CutOff.heard.clear()
            path = f"/v1/reservations/{uuid4()}/confirm"
            answer = edge.ask("POST", path, {}, content_type="application/json", idempotency_key="k1")
            assert (answer.status, answer.body) == (503, b"off")
            assert len(_CutOff.heard) == 3
            assert {heard["idempotency-key"] for heard in _CutOff.heard} == {"k1"}
            assert len({heard["x-request-start"] for heard in _CutOff.heard}) == 1
        server.shutdown()


def test_a_confirmation_at_a_door_that_hangs_goes_to_the_other_door(
    nginx: str, sale: tuple[Sale, str], door: int, tmp_path: Path
) -> None:
    """The door takes the connection and says nothing, as on a host that is cut off. It costs 12 s; here, 0.5 s."""
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        doors = [f"127.0.0.1:{hangs.getsockname()[1]}", f"127.0.0.1:{door}"]
        with serving(nginx, doors, tmp_path, web=door) as (process, port):
            edge = Edge(process, port, tmp_path, *sale)
            conf = (tmp_path / "nginx.conf").read_text()
            assert (
                conf.count("proxy_read_timeout 12s;\n            proxy_next_upstream error timeout non_idempotent;")
                == 1
            )
            path, deadline = f"/v1/reservations/{uuid4()}/confirm", time.monotonic() + 30
            edge.reload(
                "proxy_read_timeout 12s;\n            proxy_next_upstream error timeout non_idempotent;",
                "proxy_read_timeout 500ms;\n            proxy_next_upstream error timeout non_idempotent;",
            )
            codes: set[str] = set()
            heard = False
            hangs.settimeout(0.1)
            links = []
            while not heard and time.monotonic() < deadline:
                answer = edge.ask(
                    "POST", path, {}, content_type="application/json", authorization=f"Bearer {edge.key}",
                    idempotency_key="k1",
                )  # fmt: skip
                codes.add(json.loads(answer.body)["code"])
                with suppress(TimeoutError):
                    links.append(hangs.accept()[0])
                    heard = True
            for link in links:
                link.close()
    assert (heard, codes) == (True, {"malformed"})


def test_while_the_door_is_away_the_last_status_stays_and_posts_are_told_to_come_again(edge: Edge, door: int) -> None:
    shown = edge.ask("GET", edge.path())
    edge.reload(f"server 127.0.0.1:{door};", f"server 127.0.0.1:{free_port()};")
    deadline = time.monotonic() + 120
    while (answer := edge.post("enter", {})).status != 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert (answer.headers["content-type"], json.loads(answer.body)["code"]) == ("application/problem+json", "unknown")
    time.sleep(2.1)  # the cached document has expired by now
    assert edge.ask("GET", edge.path()).body == shown.body


class _Origin(BaseHTTPRequestHandler):
    """A web process that only records the headers of requests."""

    heard: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        """Records the headers of a GET request and answers 200."""
        self.heard.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


@pytest.fixture
def origin() -> Iterator[int]:
    """The port of a web process that only records the headers of requests."""
    _Origin.heard.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Origin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("front", "told", "client", "scheme"),
    [
        ("10.0.0.0/8", "1.2.3.4", "127.0.0.1", "http"),
        ("127.0.0.0/8", "1.2.3.4", "1.2.3.4", "https"),
        ("127.0.0.0/8", "6.6.6.6, 1.2.3.4", "1.2.3.4", "https"),
        ("127.0.0.0/8", "1.2.3.4, 192.168.0.7", "1.2.3.4", "https"),
    ],
    ids=["no proxy in front", "a proxy of ours in front", "a client that tells lies", "two proxies of ours in front"],
)
def test_who_calls_is_believed_only_from_our_own_proxies(  # noqa: PLR0917 - fixtures and the columns of the table
    nginx: str, origin: int, tmp_path: Path, front: str, told: str, client: str, scheme: str
) -> None:
    with serving(nginx, origin, tmp_path, front=front) as (_, port):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        link.request("GET", "/", headers={"X-Forwarded-For": told, "X-Forwarded-Proto": "https", "Cookie": "a=b"})
        link.getresponse().read()
        link.close()
    (heard,) = _Origin.heard
    assert (heard["x-forwarded-for"], heard["x-forwarded-proto"], heard["host"]) == (
        client,
        scheme,
        f"127.0.0.1:{port}",
    )
    assert heard["cookie"] == "a=b"


def test_who_polls_is_not_told_to_the_door(nginx: str, origin: int, tmp_path: Path) -> None:
    with serving(nginx, origin, tmp_path) as (_, port):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        link.request("GET", "/v1/sales/s/lines/l/status", headers={"Cookie": "a=b", "Authorization": "Bearer x"})
        link.getresponse().read()
        link.close()
    assert set(_Origin.heard[0]) == {"host", "accept-encoding", "x-request-start"}
