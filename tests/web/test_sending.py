"""A code that cannot be sent answers not_ready soon, and the shopper may request it again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Semaphore, Thread

import pytest
import redis
from pytest_django import Settings

from flashsale.providers.messages import codes as sender
from flashsale.web import limits
from flashsale.web.pages import codes
from tests.factories import lobby_sale
from tests.web.shop import Visitor

pytestmark = pytest.mark.django_db(transaction=True)
Gateway = tuple[int, list[bytes]]


@pytest.fixture
def ani(gate: redis.Redis, stopped_clock: None) -> Visitor:
    return Visitor(lobby_sale(channels=("mi.com",), opens_in_s=600))


def request_codes(ani: Visitor) -> tuple[int, str]:
    answer = ani.post("codes", ani.contacts)
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A server at the address of the code webhook. It sends the bytes in the list, or nothing if the list is empty."""
    answers: list[bytes] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            if answers:
                self.rfile.readline()
                self.wfile.write(answers.pop(0) if len(answers) > 1 else answers[0])
            else:
                self.rfile.read()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_address[1], answers
        server.shutdown()


@pytest.mark.parametrize(
    "responses",
    [
        [b"nothing of HTTP\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200],
        [b""],
        [b"HTTP/1.1 302 Found\r\nlocation: /login\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nPlease log in."],
    ],
    ids=["no HTTP", "endless headers", "nothing", "another page"],
)
def test_a_gateway_with_an_invalid_response_counts_as_failed(
    ani: Visitor, gateway: Gateway, settings: Settings, responses: list[bytes]
) -> None:
    port, answers = gateway
    answers += responses
    settings.FLASHSALE_CODE_SENDER, settings.FLASHSALE_CODE_WEBHOOK = "webhook", f"http://127.0.0.1:{port}/"
    assert request_codes(ani) == (503, "not_ready")


def test_a_mail_server_that_is_silent_answers_not_ready_in_time(
    ani: Visitor, gateway: Gateway, settings: Settings
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", gateway[0]
    settings.EMAIL_TIMEOUT /= 20
    assert request_codes(ani) == (503, "not_ready")


def test_a_sender_that_fails_answers_not_ready(ani: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_message: sender.Message) -> None:
        raise sender.NotSent

    monkeypatch.setitem(sender.SENDERS, "email", fails)
    assert request_codes(ani) == (503, "not_ready")


def test_senders_that_are_slow_leave_threads_for_buyers(ani: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused request does not count for the limit of codes."""
    waiting, answered = Semaphore(0), Event()

    def slow(message: sender.Message) -> None:
        if message.axis == "phone":
            waiting.release()
            assert answered.wait(10)

    monkeypatch.setitem(sender.SENDERS, "email", slow)
    others = [Visitor(ani.sale, f"other-{n}") for n in range(codes.SENDING_MAX)]
    with ThreadPoolExecutor(len(others)) as threads:
        asking = [threads.submit(other.post, "codes", other.contacts) for other in others]
        assert all(waiting.acquire(timeout=10) for _ in others)
        turned_away = [ani.post("codes", ani.contacts) for _ in range(limits.CODES_CONTACT.max_calls)]
        answered.set()
    assert {(answer.status_code, answer["Retry-After"]) for answer in turned_away} == {(503, "2")}
    assert [answer.result().status_code for answer in asking] == [200] * len(others)
    assert ani.post("codes", ani.contacts).status_code == 200
