"""A gateway or a mail server that answers nonsense, too much or too slowly: the code is not taken for sent."""

import threading
from collections.abc import Iterator
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest
import redis
from pytest_django import Settings

from flashsale.gate import bridge
from flashsale.providers.messages import http
from tests.factories import lobby_sale
from tests.mail_server import mail_server
from tests.web.shop import Visitor

pytestmark = pytest.mark.django_db(transaction=True)


class Server:
    """A server that sends the bytes of the test, whatever it gets."""

    def __init__(self) -> None:
        self.answer = b""
        self.closes = True
        self.requests: list[bytes] = []
        self.port = 0


@pytest.fixture
def server() -> Iterator[Server]:
    found, over = Server(), threading.Event()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            found.requests.append(self.rfile.readline())
            self.wfile.write(found.answer)
            self.wfile.flush()
            if not found.closes:
                over.wait(20)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        found.port = listening.server_address[1]
        yield found
        over.set()
        listening.shutdown()


@pytest.fixture
def ani(gate: redis.Redis, stopped_clock: None, server: Server, settings: Settings) -> Visitor:
    settings.FLASHSALE_CODE_SENDER = ["webhook"]
    settings.FLASHSALE_CODE_WEBHOOK = f"http://127.0.0.1:{server.port}/send?key=made-up"
    return Visitor(lobby_sale(channels=("mi.com",), opens_in_s=600))


def sees(ani: Visitor, axis: str = "phone") -> str:
    challenges = ani.post("codes", ani.contacts).json()["challenges"]
    return str(ani.post("sent", challenges).json()["sent"][axis])


UNANSWERED = "SMS did not answer, so we do not know whether it sent the code. If none arrives, ask for a new one."
FAILED = "SMS could not deliver the code. Check what you typed, and ask for a new code."


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "Sent by SMS."),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "Sent by SMS."),
        (b"HTTP/1.0 204 No Content\r\n\r\n", "Sent by SMS."),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", "Sent by SMS."),
        (b"nothing of HTTP\r\n\r\n", UNANSWERED),
        (b"", UNANSWERED),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, UNANSWERED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n", UNANSWERED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", UNANSWERED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok", UNANSWERED),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, UNANSWERED),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n", UNANSWERED),
        (b"HTTP/1.1 500 Error\r\ncontent-length: 0\r\n\r\n", UNANSWERED),
        (b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n", FAILED),
        (b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n", FAILED),
        (b"HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n", "The code goes out by SMS."),
    ],
)  # fmt: skip
def test_only_a_valid_answer_of_success_counts_as_sent(ani: Visitor, server: Server, answer: bytes, text: str) -> None:
    server.answer = answer
    assert sees(ani) == text
    assert server.requests == [b"POST /send?key=made-up HTTP/1.1\r\n"]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok"])
def test_an_answer_that_does_not_end_is_given_up_in_time(
    ani: Visitor, server: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(http, "READ_S", 0.2)
    server.answer, server.closes = answer, False
    assert sees(ani) == UNANSWERED
    assert len(server.requests) == 1


def test_an_address_without_a_server_is_not_connected(server: Server) -> None:
    bridge.run(http.reach(f"http://127.0.0.1:{server.port}/"))
    for url in ("http://127.0.0.1:1/", "https://gateway.invalid/", f"https://127.0.0.1:{server.port}/"):
        with pytest.raises(http.NotConnected):
            bridge.run(http.reach(url))


def test_a_mailbox_that_a_mail_server_refuses_fails_and_one_that_may_pass_is_tried_again(
    ani: Visitor, server: Server, settings: Settings
) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    with mail_server(settings) as mails:
        mails.answers["RCPT"] = "550 no such user"
        assert sees(ani, "email") == FAILED.replace("SMS", "e-mail")
        mails.answers["RCPT"] = "451 later"
        assert sees(ani, "email") == "The code goes out by e-mail."
        del mails.answers["RCPT"]
        assert sees(ani, "email") == "Sent by e-mail."
        assert [letter["To"] for letter in mails.letters] == [ani.contacts["email"]]
