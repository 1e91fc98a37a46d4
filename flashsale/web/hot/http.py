"""HTTP for the hot door: reads an ASGI request and writes the response, without the costs of a framework."""

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
from flashsale.web.client_ip import client_address, client_network

Message = Mapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
CLOSE: Header = (b"connection", b"close")

BODY_BYTES_MAX = 8 * 1024
BODY_READ_S_MAX = 10.0
CODE_PATTERN = re.compile(r"[a-z0-9][a-z0-9.\-]{0,39}")
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._\-]{1,64}")


class HttpFault(Exception):
    """The caller used HTTP wrongly; `headers` are sent with the problem document."""

    def __init__(self, fault: problems.Fault, detail: str = "", headers: tuple[Header, ...] = ()) -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail
        self.headers = headers


class ClientDisconnected(Exception):
    """The client closed the connection before it had sent the whole body."""


class HotResponse(NamedTuple):
    """A response. `cache` is its Cache-Control: no-store, unless the response is the same for all callers."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    cache: bytes = b"no-store"
    headers: tuple[Header, ...] = ()


class HotRequest:
    """One HTTP request, from its ASGI scope."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self._receive = receive
        self._peer: tuple[str, int] | None = scope.get("client")
        self._headers = _merge_headers(scope["headers"])
        self._request_id = ""

    def header(self, name: bytes) -> str:
        """The value of a header by its lower-case name, "" if it was not sent."""
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def request_id(self) -> str:
        """The caller's X-Request-Id, or a random one if it sent none or an invalid one."""
        if not self._request_id:
            sent = self.header(b"x-request-id")
            # Not a secret: it only has to differ from other ids in the logs.
            self._request_id = sent if REQUEST_ID_PATTERN.fullmatch(sent) else f"{random.getrandbits(64):016x}"
        return self._request_id

    @property
    def address(self) -> str:
        """The client's IPv4 address, or its IPv6 /64 network, because an IPv6 client can use any address in it."""
        peer = self._peer[0] if self._peer else ""
        forwarded = self.header(b"x-forwarded-for")
        trusted = settings.FLASHSALE_TRUSTED_PROXIES
        return client_network(client_address(peer=peer, forwarded_for=forwarded, trusted=trusted))

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name; none if the header cannot be parsed."""
        try:
            return parse_cookie(self.header(b"cookie"))
        except (CookieError, ValueError):
            return {}

    @property
    def is_same_origin(self) -> bool:
        """Whether our own page sent this request. Browsers set Origin on each POST, and a page cannot change it."""
        origin = self.header(b"origin")
        return origin_host(origin) == self.header(b"host") or origin in settings.CSRF_TRUSTED_ORIGINS

    async def json(self, *, most: int = BODY_BYTES_MAX) -> dict[str, Any]:
        """Reads the body, which must be one JSON object with at most `most` bytes.

        Raises HttpFault, ClientDisconnected; refuses MALFORMED.
        """
        if self.header(b"content-type").partition(";")[0].strip().lower() != "application/json":
            raise HttpFault(problems.Fault.WRONG_TYPE)
        reader = asyncio.current_task()
        assert reader is not None, "a server runs each request in a task"
        _reads[reader] = time.monotonic()
        try:
            body = await self._read_body(most)
        except asyncio.CancelledError:
            if reader in _reads:
                raise
            # end_slow_reads() removed the task and cancelled it.
            reader.uncancel()
            raise HttpFault(problems.Fault.TOO_SLOW, "", (CLOSE,)) from None
        finally:
            _reads.pop(reader, None)
        return parse_json_object(body)

    async def _read_body(self, most: int) -> bytes:
        declared = self.header(b"content-length")
        if declared.isdigit() and (len(declared) > 9 or int(declared) > most):
            raise _too_large(most)
        body = b""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            body += message.get("body", b"")
            if len(body) > most:
                raise _too_large(most)
            if not message.get("more_body", False):
                return body


def _merge_headers(pairs: Iterable[Header]) -> dict[bytes, bytes]:
    pairs = list(pairs)
    headers = dict(pairs)
    if len(headers) < len(pairs):
        headers = {}
        for name, value in pairs:
            earlier = headers.get(name)
            # HTTP/2 may split the cookies over several headers. Any other header that is sent twice becomes a value
            # with a comma, which no check accepts.
            headers[name] = value if earlier is None else earlier + (b"; " if name == b"cookie" else b", ") + value
    return headers


# Tasks that read a body, with the time at which they began (time.monotonic), the oldest first.
_reads: dict[asyncio.Task[Any], float] = {}


async def end_slow_reads() -> None:
    """Cancels requests whose body takes longer than BODY_READ_S_MAX; runs until it is cancelled itself.

    One task watches all requests, because a timer for each request would cost as much as the response.
    """
    while True:
        await asyncio.sleep(BODY_READ_S_MAX / 10)
        began_before = time.monotonic() - BODY_READ_S_MAX
        for reader, began in list(_reads.items()):
            if began > began_before:
                break
            del _reads[reader]
            reader.cancel()


def origin_host(origin: str) -> str:
    """Host and port of an Origin header. A space if it has none, because no Host header equals a space."""
    try:
        return urlsplit(origin).netloc or " "
    except ValueError:
        return " "


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Parses a JSON object in UTF-8; refuses MALFORMED."""
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise Refused(Outcome.MALFORMED, "The body is not JSON in UTF-8.") from error
    if not isinstance(document, dict):
        raise Refused(Outcome.MALFORMED, "The body must be a JSON object.")
    return document


def _too_large(most: int) -> HttpFault:
    # The rest of the body is not read, so the connection cannot be used for another request.
    detail = f"The body may have {most} bytes."
    return HttpFault(problems.Fault.TOO_LARGE, detail, (CLOSE,))


def to_json(document: dict[str, Any]) -> bytes:
    """Compact JSON in UTF-8."""
    return orjson.dumps(document)


def json_response(status: int, document: dict[str, Any], *headers: Header) -> HotResponse:
    """A JSON response for this caller only: no cache may store it."""
    return HotResponse(status, to_json(document), headers=headers)


def problem_response(
    request: HotRequest,
    code: problems.ProblemCode,
    detail: str = "",
    retry_after_s: int | None = None,
    *headers: Header,
) -> HotResponse:
    """A problem document in the caller's language, with Retry-After and WWW-Authenticate where they belong."""
    document = problems.problem(
        code,
        language=problems.language_of(request.header(b"accept-language")),
        request_id=request.request_id,
        detail=detail,
        retry_after_s=retry_after_s,
    )
    if retry_after_s is not None:
        headers = (*headers, (b"retry-after", str(retry_after_s).encode()))
    if code is Outcome.UNAUTHENTICATED:
        headers = (*headers, (b"www-authenticate", b"Bearer"))
    return HotResponse(document["status"], to_json(document), problems.CONTENT_TYPE.encode(), headers=headers)


async def send_response(send: Send, request: HotRequest, response: HotResponse) -> None:
    """Sends the response; without the body for HEAD, and without type and length for 304."""
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", b"%d" % len(response.body)),
        (b"cache-control", response.cache),
        NOSNIFF,
        (b"x-request-id", request.request_id.encode()),
        *response.headers,
    ]
    if response.status == 304:
        headers = [pair for pair in headers if pair[0] not in {b"content-type", b"content-length"}]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})
