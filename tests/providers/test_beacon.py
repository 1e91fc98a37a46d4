"""A relay of drand can be silent or lie. It gives no other signature, and it keeps no true relay waiting."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from django.conf import LazySettings

from flashsale.gate import bridge
from flashsale.providers import beacon
from flashsale.rules import lottery
from tests.beacons import CHAIN, Relay, sign

ROUND = lottery.round_after(1_750_000_000, CHAIN)
SIGNATURE = sign(ROUND)


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def of(signature: object) -> bytes:
    return http(json.dumps({"round": ROUND, "signature": signature}).encode())


ANSWERS: dict[str, bytes] = {
    "no HTTP": b"hello\r\n\r\n",
    "nothing": b"",
    "no JSON": http(b"<html>"),
    "a list": http(b"[1]"),
    "JSON that is nested 100,000 times": http(b'{"a":' + b"[" * 100_000),
    "a number that JSON has not": http(b'{"signature": NaN}'),
    "a number of 5,000 digits": http(b'{"signature": ' + b"9" * 5000 + b"}"),
    "ten megabytes": http(b'{"signature": "' + b"a" * 10_000_000 + b'"}'),
    "less than it says": http(b"{}", length=1000),
    "a redirect to the true relay": http(b"", "Location: {true}", status="302 Found"),
    "a date of no calendar": http(b"{}", "Date: Mon, 99 Foo 99999 99:99:99 GMT"),
    "an hour to wait": http(b"{}", "Retry-After: 3600", status="429 Too Many Requests"),
    "no such round": http(b'{"error": "EOF"}', status="404 Not Found"),
    "an unknown status": http(b"{}", status="999 What"),
    "compressed": http(b"\x1f\x8b\x08\x00", "Content-Encoding: gzip"),
    "no signature": http(b"{}"),
    "a signature that is null": of(None),
    "a signature that is a number": of(7),
    "a signature that is a list": of([SIGNATURE.hex()]),
    "a signature that is empty": of(""),
    "a signature with a byte more": of(SIGNATURE.hex() + "00"),
    "digits of another alphabet": of("٣" * 96),
    "the point at infinity": of("c0" + "00" * 47),
    "the signature of the round before": of(sign(ROUND - 1).hex()),
    "the signature of the round after": of(sign(ROUND + 1).hex()),
}


@contextmanager
def relay_of(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A relay that does what `answer` does with each connection. Gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def asked() -> bytes | None:
    return bridge.run(beacon.signature_of(CHAIN, ROUND))


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_without_the_signature_of_the_round_is_no_answer(kind: str, settings: LazySettings) -> None:
    with (
        Relay() as true,
        relay_of(lambda line: line.sendall(ANSWERS[kind].replace(b"{true}", true.url.encode()))) as bad,
    ):
        settings.FLASHSALE_BEACON_RELAYS = (bad,)
        assert asked() is None
        assert true.asked == []
        settings.FLASHSALE_BEACON_RELAYS = (bad, true.url, bad)
        assert asked() == SIGNATURE


def test_relays_that_never_answer_keep_no_true_one_waiting(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def waits(_line: socket.socket) -> None:
        end.wait(60)

    def drips(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        while not end.wait(0.05):
            line.sendall(b"X: y\r\n")

    with Relay() as true, relay_of(waits) as silent, relay_of(drips) as slow:
        settings.FLASHSALE_BEACON_RELAYS = (silent, slow, true.url)
        began = time.monotonic()
        assert asked() == SIGNATURE
        assert time.monotonic() - began < beacon.WHOLE_S
        monkeypatch.setattr(beacon, "WHOLE_S", 0.2)
        settings.FLASHSALE_BEACON_RELAYS = (silent, slow)
        assert asked() is None
        end.set()
