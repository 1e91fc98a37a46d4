"""HTTP for the hot door: reads an ASGI request and writes the response, without the costs of a framework."""

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.cookies import CookieError
from math import isfinite
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import orjson
from django.conf import settings
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port, validate_host

from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.signing import NONCE, SIGNATURE, TIMESTAMP, SignedRequest
from flashsale.web import problems
from flashsale.web.client_ip import client_address, client_network, is_proxy

Message = Mapping[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
CLOSE: Header = (b"connection", b"close")
SIGNATURE_HEADER, TIMESTAMP_HEADER, NONCE_HEADER = (name.lower().encode() for name in (SIGNATURE, TIMESTAMP, NONCE))

BODY_BYTES_MAX = 8 * 1024
BODY_READ_S_MAX = 10.0
ACCEPTED = frozenset({"*/*", "application/*", "application/json", "application/problem+json"})
# The location of config/nginx.conf that asks another door.
ANOTHER_DOOR = "@another_door"
# nginx gives up two doors in less time (config/nginx.conf). A longer wait is the sign of a clock that is wrong.
WAITED_S_MAX = 20.0
# A body that takes longer than this counts as slow. On a mobile network, a lost packet costs about a second.
SLOW_AFTER_S = 1.0
CODE_PATTERN = re.compile(r"[a-z0-9][a-z0-9.\-]{0,39}")
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._\-]{1,64}")


class HttpFault(Exception):
    """The caller used HTTP wrongly; `headers` are sent with the problem document."""

    def __init__(
        self,
        fault: problems.ProblemCode,
        detail: str = "",
        headers: tuple[Header, ...] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail
        self.headers = headers
        self.retry_after_s = retry_after_s


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
        self.path: str = scope.get("path", "")
        # What json() has read.
        self.sent_body = b""
        # Headers of the answer, whatever the answer will be.
        self.answer_headers: tuple[Header, ...] = ()
        # For the metrics: the sale's code once its card is known, and the code of a refusal.
        self.sale, self.outcome = "", "ok"
        self._query: bytes = scope.get("query_string", b"")
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
        return client_network(self.client_ip())

    def client_ip(self) -> str:
        """The client's whole address."""
        peer = self._peer[0] if self._peer else ""
        forwarded = self.header(b"x-forwarded-for")
        trusted = settings.FLASHSALE_TRUSTED_PROXIES
        return client_address(peer=peer, forwarded_for=forwarded, trusted=trusted)

    @property
    def waited_s(self) -> float:
        """How long ago our proxy got this request, in seconds, by its X-Request-Start; 0.0 if it is not known.

        The proxy may have waited in vain for another door. Only our proxies are believed, because a client would always
        say that it has waited. If the proxy's clock is wrong by more than the longest wait, the door believes none.
        """
        waited = wall_clock.now_s() - (self.sent_s or 0.0)
        return waited if 0.0 <= waited <= WAITED_S_MAX else 0.0

    @property
    def sent_s(self) -> float | None:
        """When our proxy got this request, by the proxy's own clock (s since 1970); None if it is not known."""
        try:
            sent = float(self._from_proxy(b"x-request-start").removeprefix("t="))
        except ValueError:
            return None
        return sent if isfinite(sent) else None

    @property
    def came(self) -> str:
        """When our proxy got this request, as it writes it. It is the same at each door that it asks. "": not known."""
        return self._from_proxy(b"x-request-start") if self.sent_s is not None else ""

    @property
    def to_another_door(self) -> tuple[Header, ...]:
        """The header by which our nginx asks another door; empty if the proxy before us does not know it."""
        location = self._from_proxy(b"x-another-door")
        return ((b"x-accel-redirect", location.encode()),) if location == ANOTHER_DOOR else ()

    def _from_proxy(self, name: bytes) -> str:
        sent = self.header(name)
        peer = self._peer[0] if self._peer else ""
        return sent if sent and is_proxy(peer, settings.FLASHSALE_TRUSTED_PROXIES) else ""

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name; none if the header cannot be parsed."""
        try:
            return parse_cookie(self.header(b"cookie"))
        except (CookieError, ValueError):
            return {}

    @property
    def is_for_us(self) -> bool:
        """Whether the Host header names a site of this server; also if there is none (HTTP/1.0)."""
        return _is_our_host(self.header(b"host"), tuple(settings.ALLOWED_HOSTS))

    @property
    def accepts_json(self) -> bool:
        """Whether the caller can use our answers, which are all JSON."""
        return _accepts_json(self.header(b"accept"))

    @property
    def is_same_origin(self) -> bool:
        """Whether our own page sent this request. Browsers set Origin on each POST, and a page cannot change it."""
        origin = self.header(b"origin")
        return origin_host(origin) == self.header(b"host") or origin in settings.CSRF_TRUSTED_ORIGINS

    @property
    def signed(self) -> SignedRequest:
        """What a signature covers, after json() has read the body."""
        return SignedRequest(
            method=self.method,
            target=f"{self.path}?{self._query.decode('latin-1')}" if self._query else self.path,
            body=self.sent_body,
            idempotency_key=self.header(b"idempotency-key"),
            signature=self.header(SIGNATURE_HEADER),
            timestamp=self.header(TIMESTAMP_HEADER),
            nonce=self.header(NONCE_HEADER),
        )

    def refuse_query(self) -> None:
        """Refuses UNKNOWN_FIELD for every query parameter, because no verb has one."""
        if self._query:
            names = [name for name, _ in parse_qsl(self._query.decode("latin-1"), keep_blank_values=True)]
            raise Refused(Outcome.UNKNOWN_FIELD, problems.unknown_fields(names, ()))

    async def json(self, *, most: int = BODY_BYTES_MAX) -> dict[str, Any]:
        """Reads the body, which must be one JSON object with at most `most` bytes.

        Raises HttpFault, ClientDisconnected; refuses MALFORMED.
        """
        if self.header(b"content-type").partition(";")[0].strip().lower() != "application/json":
            raise HttpFault(problems.Fault.WRONG_TYPE)
        self.sent_body = await self.body(most)
        return parse_json_object(self.sent_body)

    async def body(self, bytes_max: int) -> bytes:
        """Reads the body, with limits on its size, its time and the slow bodies of one client.

        Raises HttpFault, ClientDisconnected.
        """
        reader = asyncio.current_task()
        assert reader is not None, "a server runs each request in a task"
        read = _reads[reader] = _Read(time.monotonic(), self)
        try:
            return await self._read_body(bytes_max)
        except asyncio.CancelledError:
            if read.ended is None:
                raise
            # end_slow_reads() has cancelled the task.
            reader.uncancel()
            raise read.ended() from None
        finally:
            _reads.pop(reader, None)

    async def _read_body(self, bytes_max: int) -> bytes:
        declared = self.header(b"content-length")
        if declared.isdigit() and (len(declared) > 9 or int(declared) > bytes_max):
            raise _too_large(bytes_max)
        body = b""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            body += message.get("body", b"")
            if len(body) > bytes_max:
                raise _too_large(bytes_max)
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


@dataclass(slots=True)
class _Read:
    """A body that is being read: since when (time.monotonic), of which request, and why it was ended.

    `ended` makes the error. The error itself would keep the frames that it passes through, and they keep the read: the
    server would not close the connection until the next garbage collection.
    """

    began: float
    request: HotRequest
    ended: Callable[[], HttpFault] | None = None


# The bodies that are being read, by the task that reads, the oldest first.
_reads: dict[asyncio.Task[Any], _Read] = {}


async def end_slow_reads() -> None:
    """Ends the reading of bodies that take too long, or of which one client has too many; runs until it is cancelled.

    One task watches all requests, because a timer for each request would cost as much as the response. For the same
    reason a client's bodies are counted only when they are slow: almost every body arrives with its headers.
    """
    while True:
        await asyncio.sleep(min(SLOW_AFTER_S, BODY_READ_S_MAX / 10) / 2)
        _end_slow_reads(time.monotonic())


def _end_slow_reads(now: float) -> None:
    slow: Counter[str] = Counter()
    for reader, read in list(_reads.items()):
        age = now - read.began
        if age <= min(SLOW_AFTER_S, BODY_READ_S_MAX):
            break
        if read.ended is not None:
            continue
        slow[read.request.address] += 1
        if age > BODY_READ_S_MAX:
            read.ended = _too_slow
        elif slow[read.request.address] > settings.FLASHSALE_SLOW_BODIES:
            read.ended = _too_many_slow
        else:
            continue
        reader.cancel()


def _too_slow() -> HttpFault:
    return HttpFault(problems.Fault.TOO_SLOW, "", (CLOSE,))


def _too_many_slow() -> HttpFault:
    detail = f"One client may send {settings.FLASHSALE_SLOW_BODIES} bodies slowly at a time."
    return HttpFault(Outcome.TOO_MANY_REQUESTS, detail, (CLOSE,), retry_after_s=1)


@lru_cache(maxsize=1024)
def _is_our_host(host: str, ours: tuple[str, ...]) -> bool:
    return not host or validate_host(split_domain_port(host)[0], ours)


@lru_cache(maxsize=1024)
def _accepts_json(accept: str) -> bool:
    if not accept:
        return True
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return bool(ranges & ACCEPTED)


def origin_host(origin: str) -> str:
    """Host and port of an Origin header. A space if it has none, because no Host header equals a space."""
    try:
        return urlsplit(origin).netloc or " "
    except ValueError:
        return " "


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Parses a JSON object in UTF-8; refuses MALFORMED, also for a member that is there twice."""
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise Refused(Outcome.MALFORMED, "The body is not JSON in UTF-8.") from error
    if not isinstance(document, dict):
        raise Refused(Outcome.MALFORMED, "The body must be a JSON object.")
    # The parser keeps the last of two members with one name, so a body with such members has more quotation marks.
    if body.count(b'"') != 2 * _strings_in(document):
        _refuse_repeated_members(body)
    return document


def _strings_in(document: dict[str, Any]) -> int:
    """How many strings a document has, names of members among them."""
    count, rest = 0, [document]
    while rest:
        value: Any = rest.pop()
        if isinstance(value, dict):
            count += len(value)
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, str):
            count += 1
    return count


def _refuse_repeated_members(body: bytes) -> None:
    """Refuses MALFORMED for a member that is there twice. Slow, so it reads only bodies that may have one."""

    def checked(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(members)) != len(members):
            raise Refused(Outcome.MALFORMED, "A member stands twice in the body. Send it once.")
        return {}

    try:
        json.loads(body, object_pairs_hook=checked)
    except RecursionError as error:
        raise Refused(Outcome.MALFORMED, "The body is nested too deeply.") from error


def _too_large(bytes_max: int) -> HttpFault:
    # The rest of the body is not read, so the connection cannot be used for another request.
    detail = f"The body may have {bytes_max} bytes."
    return HttpFault(problems.Fault.TOO_LARGE, detail, (CLOSE,))


def to_json(document: dict[str, Any]) -> bytes:
    """Compact JSON in UTF-8."""
    return orjson.dumps(document)


def json_response(status: int, document: dict[str, Any], *headers: Header) -> HotResponse:
    """A JSON response for this caller only: no cache may store it."""
    return HotResponse(status, to_json(document), headers=headers)


def fault_response(request: HotRequest, error: HttpFault) -> HotResponse:
    """The problem document of a request that used HTTP wrongly."""
    return problem_response(request, error.fault, error.detail, error.retry_after_s, *error.headers)


def problem_response(
    request: HotRequest,
    code: problems.ProblemCode,
    detail: str = "",
    retry_after_s: int | None = None,
    *headers: Header,
    errors: list[dict[str, str]] | None = None,
    reservation: UUID | None = None,
) -> HotResponse:
    """A problem document in the caller's language, with Retry-After and WWW-Authenticate where they belong.

    `errors` names the invalid fields, `reservation` a reservation of the caller.
    """
    request.outcome = str(code)
    document = problems.problem(
        code,
        language=problems.language_of(request.header(b"accept-language")),
        request_id=request.request_id,
        detail=detail,
        retry_after_s=retry_after_s,
        reservation=reservation,
    )
    if errors:
        document["errors"] = errors
    if retry_after_s is not None:
        headers = (*headers, (b"retry-after", str(retry_after_s).encode()))
    if document["status"] == HTTPStatus.UNAUTHORIZED:
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
        *request.answer_headers,
        *response.headers,
    ]
    if response.status == 304:
        headers = [pair for pair in headers if pair[0] not in {b"content-type", b"content-length"}]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})
