"""The HTTP client of providers: short limits, no redirects, bounded bodies, and no call is sent twice."""

import asyncio
import gzip
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from flashsale.gate import bridge
from flashsale.providers import http
from flashsale.providers.failures import ProviderBusy, ProviderDown
from simulation.processes import free_port
from tests.providers.scripted import Scripted, scripted
from tests.tls import Authority


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


def call(url: str, **more: Any) -> http.HttpAnswer:
    return bridge.run(http.call(more.pop("method", "POST"), url, headers={"X-Own": "1"}, **more))


def test_an_answer_has_exact_amounts_and_the_time_of_the_provider(server: Scripted) -> None:
    server.add(b'{"amount": 1799000.10, "text": "x.00"}', 202, Date="Sun, 29 Nov 2026 03:00:00 GMT")
    answer = call(server.url + "/a?b=1", body={"one": 1})
    assert answer.status == 202
    assert answer.fields == {"amount": Decimal("1799000.10"), "text": "x.00"}
    assert answer.date == datetime(2026, 11, 29, 3, tzinfo=UTC)
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.fields) == ("POST", "/a?b=1", {"one": 1})
    sent = {name: asked.headers[name] for name in ("Accept", "Content-Type", "X-Own", "Accept-Encoding")}
    assert sent == {
        "Accept": "application/json", "Content-Type": "application/json", "X-Own": "1", "Accept-Encoding": "identity",
    }  # fmt: skip


@pytest.mark.parametrize(
    "date", ["", "soon", "Sun, 29 Nov 2026 03:00:00 +999999999999999999999", "Sun, 29 Nov 99999 03:00:00 GMT"]
)
def test_an_answer_whose_time_cannot_be_read_is_an_answer_without_a_time(server: Scripted, date: str) -> None:
    server.add({"a": 1}, 200, Date=date)
    answer = call(server.url)
    assert (answer.status, answer.fields, answer.date) == (200, {"a": 1}, None)


def test_an_error_with_a_body_is_an_answer_because_the_provider_says_what_it_means(server: Scripted) -> None:
    server.add({"status_code": "500"}, 500)
    assert (call(server.url, method="GET").status, server.asked[0].fields) == (500, None)


@pytest.mark.parametrize(
    ("body", "status", "headers", "word"),
    [
        (b"<html>", 502, {}, "HTTP 502, no JSON"),
        (b"[1]", 200, {}, "no JSON object"),
        (b'{"a": NaN}', 200, {}, "no JSON"),
        (b'{"a": "\xff"}', 200, {}, "no JSON"),
        (b"[" * 100_000, 200, {}, "no JSON"),
        (b"{}", 307, {"Location": "/other"}, "HTTP 307: a redirect"),
        (b'{"a": "' + b"x" * http.BODY_BYTES_MAX + b'"}', 200, {}, "more than 262144 bytes"),
        (gzip.compress(b'{"a": "' + b"x" * 10**7 + b'"}'), 200, {"Content-Encoding": "gzip"}, "no JSON"),
    ],
    ids=["html", "list", "nan", "not-utf8", "deep", "redirect", "large", "packed"],
)
def test_what_is_no_answer_leaves_unknown_what_happened(
    server: Scripted, body: bytes, status: int, headers: dict[str, str], word: str
) -> None:
    server.add(body, status, lambda: None, **headers)
    with pytest.raises(ProviderDown, match=word):
        call(server.url)
    assert len(server.asked) == 1


def test_an_answer_that_is_dropped_is_asked_for_once(server: Scripted) -> None:
    for number in (1, 2):
        with pytest.raises(ProviderDown, match="no answer: "):
            call(server.url + "/secret-token")
        assert len(server.asked) == number


def test_an_error_does_not_show_the_address(server: Scripted) -> None:
    with pytest.raises(ProviderDown) as caught:
        call(server.url + "/secret-token")
    assert "secret-token" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_port_that_does_not_listen_is_down() -> None:
    with pytest.raises(ProviderDown, match="ConnectError"):
        call(f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize(("header", "after"), [("7", 7.0), ("", 1.0), ("soon", 1.0), ("999999", 3600.0)])
def test_a_provider_that_takes_no_more_says_how_long_to_wait(server: Scripted, header: str, after: float) -> None:
    server.add({}, 429, Retry_After=header)
    with pytest.raises(ProviderBusy) as caught:
        call(server.url)
    assert caught.value.after == after


def test_an_answer_that_takes_too_long_ends_the_call(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()
    monkeypatch.setattr(http, "WHOLE_S", 0.2)
    server.add({}, before=lambda: gone.wait(30))
    with pytest.raises(ProviderDown, match="no whole answer"):
        call(server.url)
    gone.set()


def test_the_limits_are_two_seconds_to_connect_and_eight_to_read() -> None:
    async def limits() -> Any:
        return http._client().timeout

    timeout = bridge.run(limits())
    assert (timeout.connect, timeout.read, http.WHOLE_S) == (2.0, 8.0, 10.0)


def test_fifty_calls_wait_at_the_same_time_and_cost_no_thread_of_ours(server: Scripted) -> None:
    together = threading.Barrier(50)
    for _ in range(50):
        # Each answer waits until all fifty were asked for.
        server.add({}, before=lambda: together.wait(20))

    async def all_at_once() -> int:
        before = {thread.name for thread in threading.enumerate() if "process_request" not in thread.name}
        await asyncio.gather(*(http.call("GET", server.url, headers={}) for _ in range(50)))
        after = {thread.name for thread in threading.enumerate() if "process_request" not in thread.name}
        return len(after - before)

    assert bridge.run(all_at_once()) == 0
    assert len(server.asked) == 50


def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path, "ours")
    with scripted(authority.certificate("127.0.0.1")) as server:
        server.add({})
        with pytest.raises(ProviderDown, match="ConnectError"):
            call(server.url)
        assert server.asked == []
        monkeypatch.setattr(http, "certificates", lambda: ssl.create_default_context(cafile=authority.ca))

        async def with_a_new_client() -> int:
            await http.close()
            try:
                return (await http.call("GET", server.url, headers={})).status
            finally:
                await http.close()

        assert bridge.run(with_a_new_client()) == 200
