"""HTTP as the hot door speaks it: how it reads a request and writes an answer, without a framework's costs."""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http.cookies import CookieError
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.http.cookie import parse_cookie

from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import problems
from flashsale.web.client_ip import address, network

Message = Mapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
CLOSING: Header = (b"connection", b"close")

BODY_BYTES_MAX = 8 * 1024
READING_S_MAX = 10.0
CODE_FORM = re.compile(r"[a-z0-9][a-z0-9.\-]{0,39}")
REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9._\-]{1,64}")


class Misused(Exception):
    """HTTP itself was used wrongly."""

    def __init__(self, fault: problems.Fault, detail: str = "", headers: tuple[Header, ...] = ()) -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail
        self.headers = headers


class Disconnected(Exception):
    """The client went away before it had said everything."""


class Answer(NamedTuple):
    """What goes back; `cache` is the Cache-Control of an answer that is not for this caller alone."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    cache: bytes = b"no-store"
    headers: tuple[Header, ...] = ()


class Call:
    """One HTTP request."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self._receive = receive
        self._peer: tuple[str, int] | None = scope.get("client")
        self._headers = _by_name(scope["headers"])
        self._request_id = ""

    def header(self, name: bytes) -> str:
        """A header in one piece, empty when it was not sent."""
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def request_id(self) -> str:
        """The caller's X-Request-Id, or one of ours."""
        if not self._request_id:
            given = self.header(b"x-request-id")
            # No secret: it only has to be another one than the others in the logs.
            self._request_id = given if REQUEST_ID_FORM.fullmatch(given) else f"{random.getrandbits(64):016x}"
        return self._request_id

    @property
    def address(self) -> str:
        """The client's address, or its /64 network: an IPv6 client has as many addresses as it likes."""
        peer = self._peer[0] if self._peer else ""
        forwarded = self.header(b"x-forwarded-for")
        return network(address(peer=peer, forwarded_for=forwarded, trusted=settings.FLASHSALE_TRUSTED_PROXIES))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies; what cannot be read counts as not sent."""
        try:
            return parse_cookie(self.header(b"cookie"))
        except (CookieError, ValueError):
            return {}

    @property
    def same_origin(self) -> bool:
        """Whether a page of ours sent this: a browser says where a POST comes from, and cannot be made to lie."""
        origin = self.header(b"origin")
        return urlsplit_host(origin) == self.header(b"host") or origin in settings.CSRF_TRUSTED_ORIGINS

    async def document(self) -> dict[str, Any]:
        """The body, one JSON object. Raises Misused, Disconnected; refuses MALFORMED."""
        if self.header(b"content-type").partition(";")[0].strip().lower() != "application/json":
            raise Misused(problems.Fault.WRONG_TYPE)
        reader = asyncio.current_task()
        assert reader is not None, "a server runs each request in a task"
        _reading[reader] = time.monotonic()
        try:
            body = await self._body()
        except asyncio.CancelledError:
            if reader in _reading:
                raise
            reader.uncancel()
            raise Misused(problems.Fault.TOO_SLOW, "", (CLOSING,)) from None
        finally:
            _reading.pop(reader, None)
        return parse(body)

    async def _body(self) -> bytes:
        declared = self.header(b"content-length")
        if declared.isdigit() and (len(declared) > 9 or int(declared) > BODY_BYTES_MAX):
            raise _too_large()
        body = b""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            body += message.get("body", b"")
            if len(body) > BODY_BYTES_MAX:
                raise _too_large()
            if not message.get("more_body", False):
                return body


def _by_name(pairs: Iterable[Header]) -> dict[bytes, bytes]:
    pairs = list(pairs)
    headers = dict(pairs)
    if len(headers) < len(pairs):
        headers = {}
        for name, value in pairs:
            before = headers.get(name)
            # Cookies may come in pieces (HTTP/2); any other header given twice becomes a value that fits nowhere.
            headers[name] = value if before is None else before + (b"; " if name == b"cookie" else b", ") + value
    return headers


# Whose bodies are being read, and since when, the oldest first.
_reading: dict[asyncio.Task[Any], float] = {}


async def end_slow_readers() -> None:
    """Ends, until cancelled, the requests whose clients take too long to say everything.

    One task looks after all of them: a timer for each would cost as much as its answer.
    """
    while True:
        await asyncio.sleep(READING_S_MAX / 10)
        began_before = time.monotonic() - READING_S_MAX
        for reader, began in list(_reading.items()):
            if began > began_before:
                break
            del _reading[reader]
            reader.cancel()


def urlsplit_host(origin: str) -> str:
    """The host and port of an origin; a space, which no Host header can be, when there are none."""
    try:
        return urlsplit(origin).netloc or " "
    except ValueError:
        return " "


def parse(body: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8; refuses MALFORMED."""
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise Refused(Outcome.MALFORMED, "The body is not JSON in UTF-8.") from error
    if not isinstance(document, dict):
        raise Refused(Outcome.MALFORMED, "The body must be a JSON object.")
    return document


def _too_large() -> Misused:
    # What is left of the body is not read, so the connection cannot carry another request.
    detail = f"The body may have {BODY_BYTES_MAX} bytes."
    return Misused(problems.Fault.TOO_LARGE, detail, (CLOSING,))


def encode(document: dict[str, Any]) -> bytes:
    """A document as compact JSON."""
    return orjson.dumps(document)


def answer(status: int, document: dict[str, Any], *headers: Header) -> Answer:
    """A JSON answer for this caller alone."""
    return Answer(status, encode(document), headers=headers)


def refusal(
    call: Call, word: problems.Word, detail: str = "", retry_after_s: int | None = None, *headers: Header
) -> Answer:
    """A problem document in the caller's language."""
    document = problems.problem(
        word, language=problems.language_of(call.header(b"accept-language")), request_id=call.request_id,
        detail=detail, retry_after_s=retry_after_s,
    )  # fmt: skip
    if retry_after_s is not None:
        headers = (*headers, (b"retry-after", str(retry_after_s).encode()))
    if word is Outcome.UNAUTHENTICATED:
        headers = (*headers, (b"www-authenticate", b"Bearer"))
    return Answer(document["status"], encode(document), problems.CONTENT_TYPE.encode(), headers=headers)


async def send_answer(send: Send, call: Call, given: Answer) -> None:
    """Writes an answer; for HEAD without its body."""
    headers = [
        (b"content-type", given.content_type),
        (b"content-length", b"%d" % len(given.body)),
        (b"cache-control", given.cache),
        NOSNIFF,
        (b"x-request-id", call.request_id.encode()),
        *given.headers,
    ]
    if given.status == 304:
        headers = [pair for pair in headers if pair[0] not in {b"content-type", b"content-length"}]
    await send({"type": "http.response.start", "status": given.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else given.body})
