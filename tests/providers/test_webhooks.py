"""Webhooks are sent to the address that was checked, with bounds, and never into a network that is not public."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from flashsale.gate import bridge
from flashsale.providers import webhooks
from flashsale.providers.webhooks import Answer, Receiver
from flashsale.rules.states import DeliveryFailure
from tests.providers.scripted import Scripted, scripted
from tests.tls import Authority

HEADERS = {"webhook-id": "1", "Content-Type": "application/json"}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as script:
        yield script


def post(url: str, *, local: bool = True, times: int = 1) -> Answer:
    async def call() -> Answer:
        async with Receiver(url, local=local) as receiver:
            for _ in range(times):
                answer = await receiver.post(HEADERS, b'{"a":1}')
            return answer

    return bridge.run(call())


def named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads to these addresses. Returns the list of names that were looked up."""
    asked: list[str] = []

    def look_up(host: str, _port: int) -> list[str]:
        asked.append(host)
        return list(addresses)

    monkeypatch.setattr(webhooks, "_addresses_of", look_up)
    return asked


def test_a_message_arrives_as_it_is(server: Scripted) -> None:
    server.add({"ok": True}, 202)
    answer = post(server.url + "/hooks?x=1")
    assert (answer.status, answer.failure, answer.text) == (202, None, '{"ok": true}')
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.fields) == ("POST", "/hooks?x=1", {"a": 1})
    assert (asked.headers["Host"], asked.headers["webhook-id"]) == (server.url.removeprefix("http://"), "1")


class TestANetworkThatIsNotPublic:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
    def test_would_be_called_without_the_guard(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhooks, "may_call", lambda *_, **__: True)
        with scripted() as server:
            server.add({})
            assert post(f"http://{host}:{server.url.rpartition(':')[2]}/").status == 200
            assert len(server.asked) == 1

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "localhost",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
        ],
    )
    def test_is_not_called_however_its_address_is_written(self, host: str) -> None:
        with scripted() as server:
            port = server.url.rpartition(":")[2]
            answer = post(f"https://{host}:{port}/", local=False)
            assert (answer.status, answer.failure) == (None, DeliveryFailure.FORBIDDEN_ADDRESS)
            assert server.asked == []

    @pytest.mark.parametrize(
        "addresses",
        [
            ["10.0.0.1"],
            ["169.254.169.254"],
            ["9.9.9.9", "10.0.0.1"],
            ["fd00::1"],
            ["::ffff:10.0.0.1"],
            ["fe80::1%eth0"],
            [],
        ],
    )
    def test_is_not_called_by_a_name_that_leads_there(
        self, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
    ) -> None:
        named(monkeypatch, *addresses)
        assert post("https://shop.example/", local=False).failure is DeliveryFailure.FORBIDDEN_ADDRESS

    def test_is_not_called_by_plain_http_even_in_a_demo(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for address in ("9.9.9.9", "10.0.0.1"):
            named(monkeypatch, address)
            assert post("http://shop.example/").failure is DeliveryFailure.FORBIDDEN_ADDRESS

    def test_is_not_called_by_a_name_that_changes_after_the_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with scripted() as server:
            asked = named(monkeypatch, "127.0.0.1")
            port = server.url.rpartition(":")[2]
            for _ in range(3):
                server.add({})
            # The machine itself does not know the name, so a second look-up by the client would fail.
            answer = post(f"http://rebinding.example:{port}/", times=3)
            assert (answer.status, len(server.asked), asked) == (200, 3, ["rebinding.example"])
            assert {one.headers["Host"] for one in server.asked} == {f"rebinding.example:{port}"}

    def test_is_not_reached_by_a_redirect(self, server: Scripted) -> None:
        server.add({}, 302, Location=server.url + "/inside")
        answer = post(server.url)
        assert (answer.status, answer.failure, len(server.asked)) == (302, DeliveryFailure.STATUS, 1)


class TestTheCertificate:
    @pytest.fixture
    def authority(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
        authority = Authority(tmp_path, "ours")
        trusted = ssl.create_default_context(cafile=authority.ca)
        monkeypatch.setattr(webhooks, "certificates", lambda: trusted)
        named(monkeypatch, "127.0.0.1")
        return authority

    def test_must_be_for_the_name_and_not_for_the_address(self, authority: Authority) -> None:
        with scripted(authority.certificate("shop.example")) as server:
            port = server.url.rpartition(":")[2]
            server.add({})
            assert post(f"https://shop.example:{port}/").status == 200
            answer = post(f"https://other.example:{port}/")
            assert (answer.failure, "CERTIFICATE_VERIFY_FAILED" in answer.text) == (DeliveryFailure.NO_CONNECTION, True)
            assert len(server.asked) == 1

    @pytest.mark.usefixtures("authority")
    def test_must_be_of_an_authority_that_is_trusted(self, tmp_path: Path) -> None:
        stranger = Authority(tmp_path / "other", "stranger")
        with scripted(stranger.certificate("shop.example")) as server:
            answer = post(f"https://shop.example:{server.url.rpartition(':')[2]}/")
            assert (answer.failure, server.asked) == (DeliveryFailure.NO_CONNECTION, [])


class TestABound:
    def test_keeps_a_long_answer_short_and_readable(self, server: Scripted) -> None:
        server.add(b"a\x00b\xff\n" + b"x" * 10_000_000)
        answer = post(server.url)
        assert (answer.status, answer.failure) == (200, None)
        assert answer.text == "a b� " + "x" * 495

    def test_ends_an_answer_that_does_not_come(self, server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhooks, "WHOLE_S", 0.2)
        over = threading.Event()
        server.add({}, before=lambda: over.wait(10))
        answer = post(server.url)
        over.set()
        assert (answer.status, answer.failure) == (None, DeliveryFailure.TIMEOUT)
        assert 190 <= answer.took_ms < 5000

    def test_ends_a_look_up_that_does_not_come_and_delays_no_other_one(
        self, server: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhooks, "RESOLVE_S", 0.2)
        over = threading.Event()
        monkeypatch.setattr(
            webhooks,
            "_addresses_of",
            lambda host, _port: over.wait(10) and [] if host == "slow.example" else ["127.0.0.1"],
        )
        server.add({})

        async def both() -> list[Answer]:
            async with Receiver("https://slow.example/", local=True) as slow, Receiver(server.url, local=True) as fine:
                return list(await asyncio.gather(slow.post(HEADERS, b"1"), fine.post(HEADERS, b"1")))

        answers = bridge.run(both())
        over.set()
        assert [answer.failure for answer in answers] == [DeliveryFailure.NO_ADDRESS, None]

    def test_counts_a_connection_that_ends_without_an_answer_as_a_failure(self, server: Scripted) -> None:
        assert (post(server.url).failure, len(server.asked)) == (DeliveryFailure.BROKEN, 1)

    def test_tries_the_next_address_if_there_is_no_connection(
        self, server: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        named(monkeypatch, "127.0.0.9", "127.0.0.1")
        server.add({})
        assert post(server.url).status == 200

    def test_says_that_nothing_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        assert post(f"http://127.0.0.1:{port}/").failure is DeliveryFailure.NO_CONNECTION


@pytest.mark.parametrize(("header", "seconds"), [("120", 120), ("0", 0), ("999999999999", 12 * 3600)])
def test_retry_after_is_read_as_seconds(server: Scripted, header: str, seconds: int) -> None:
    server.add({}, 503, Retry_After=header)
    assert post(server.url).retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize(("hours", "seconds"), [(1, 3600), (-1, 0), (100, 12 * 3600)])
def test_retry_after_is_read_as_a_date(server: Scripted, hours: int, seconds: int) -> None:
    server.add({}, 503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True))
    found = post(server.url).retry_after
    assert found is not None
    assert seconds - 60 <= found.total_seconds() <= seconds


@pytest.mark.parametrize(
    "header",
    [
        "", "soon", "-1", "1.5", "Sun, 99 Nov 2026 03:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -0100",
        "Sun, 29 Nov 2026 03:00:00 +999999999999999999999",
    ],
)  # fmt: skip
def test_an_odd_retry_after_is_none(server: Scripted, header: str) -> None:
    server.add({}, 503, Retry_After=header)
    answer = post(server.url)
    assert (answer.status, answer.failure, answer.retry_after) == (503, DeliveryFailure.STATUS, None)


def test_an_answer_that_nothing_foresees_is_a_failure_like_any_other(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_text: str) -> None:
        raise ArithmeticError("an odd answer")

    monkeypatch.setattr(webhooks, "_retry_after", fails)
    server.add({}, 200)
    answer = post(server.url)
    assert (answer.status, answer.failure, answer.text) == (None, DeliveryFailure.BROKEN, "ArithmeticError")
