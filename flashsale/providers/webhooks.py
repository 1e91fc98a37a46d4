"""Sends webhooks to the receivers of partners, whose addresses are not ours and may be hostile.

The name of the host is resolved once, each address is checked, and the connection goes to this address. So a name that
leads to a public address for the check and into our own network for the call does no harm. The certificate is verified
against the name. Redirects are not followed, and time and answer are bounded.

Each webhook has connections of its own, because two names may lead to one address.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Self
from urllib.parse import urlsplit, urlunsplit

import httpx2

from flashsale.providers.http import certificates
from flashsale.rules import wall_clock
from flashsale.rules.states import DeliveryFailure
from flashsale.rules.webhooks import RETRY_AFTER_MAX, may_call, url_problem

log = logging.getLogger(__name__)

RESOLVE_S, CONNECT_S, WHOLE_S = 5.0, 5.0, 15.0
ANSWER_BYTES_MAX = 4096
ANSWER_CHARS = 500
ADDRESSES_MAX = 4
CONNECTIONS = 16
# A name server that does not answer keeps a thread for half a minute. Each webhook resolves one name at a time.
_resolvers = ThreadPoolExecutor(max_workers=64, thread_name_prefix="resolve")


class Answer(NamedTuple):
    """What became of a call. `status` is the receiver's, None without an answer; `failure` is "" after a 2xx.

    `text` has the first characters of the answer, or why there was none. `retry_after` is how long the receiver wants
    to be left alone.
    """

    status: int | None
    failure: DeliveryFailure | None
    took_ms: int
    text: str = ""
    retry_after: timedelta | None = None


class _NotCalled(Exception):
    """There was no call. The error has the reason and a text."""

    def __init__(self, failure: DeliveryFailure, text: str) -> None:
        super().__init__(text)
        self.failure, self.text = failure, text


class Receiver:
    """Connections to the receiver of one webhook. Use it with `async with`."""

    def __init__(self, url: str, *, local: bool) -> None:
        self._url, self._local = url, local
        self._parts = urlsplit(url)
        self._addresses: list[str] = []
        self._resolving = asyncio.Lock()
        self._client = httpx2.AsyncClient(
            verify=certificates(),
            trust_env=False,  # no proxy of the environment connects to an address that was not checked
            follow_redirects=False,
            timeout=httpx2.Timeout(WHOLE_S, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=CONNECTIONS, keepalive_expiry=15.0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends one message, within WHOLE_S seconds. It is never sent twice. Raises nothing, whatever comes back."""
        begun = time.monotonic()

        def took() -> int:
            return round((time.monotonic() - begun) * 1000)

        try:
            async with asyncio.timeout(WHOLE_S):
                status, text, retry_after = await self._post(headers, body)
        except TimeoutError:
            return Answer(None, DeliveryFailure.TIMEOUT, took(), f"no whole answer in {WHOLE_S:.0f} s")
        except _NotCalled as error:
            return Answer(None, error.failure, took(), error.text)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            return Answer(None, DeliveryFailure.BROKEN, took(), _clean(f"{type(error).__name__}: {error}"))
        except Exception as error:  # an odd answer must be noted as one, or the message would go out again and again
            log.exception("the answer of a receiver cannot be read")
            return Answer(None, DeliveryFailure.BROKEN, took(), type(error).__name__)
        failure = None if httpx2.codes.is_success(status) else DeliveryFailure.STATUS
        return Answer(status, failure, took(), text, retry_after)

    async def _post(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str, timedelta | None]:
        last: Exception | None = None
        for address in await self._resolve():
            try:
                async with self._client.stream(
                    "POST", self._at(address), headers=self._named(headers), content=body, extensions=self._tls()
                ) as response:
                    text = _clean((await _begin_of(response)).decode("utf-8", "replace"))
                    return response.status_code, text, _retry_after(response.headers.get("Retry-After", ""))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                # Nothing was sent, so the next address may be tried.
                last = error
        self._addresses = []
        raise _NotCalled(DeliveryFailure.NO_CONNECTION, _clean(f"{type(last).__name__}: {last}"))

    async def _resolve(self) -> list[str]:
        """The addresses of the host, which are all checked. Later calls go to the same ones."""
        async with self._resolving:
            if not self._addresses:
                self._addresses = await self._look_up()
            return self._addresses

    async def _look_up(self) -> list[str]:
        if problem := url_problem(self._url, local=self._local):
            raise _NotCalled(DeliveryFailure.FORBIDDEN_ADDRESS, problem)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_S):
                found = await loop.run_in_executor(_resolvers, _addresses_of, self._parts.hostname or "", self._port)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise _NotCalled(DeliveryFailure.NO_ADDRESS, _clean(f"{type(error).__name__}: {error}")) from error
        if not found or not all(may_call(one, scheme=self._parts.scheme, local=self._local) for one in found):
            raise _NotCalled(DeliveryFailure.FORBIDDEN_ADDRESS, "The name of the host leads to no public address.")
        return found[:ADDRESSES_MAX]

    @property
    def _port(self) -> int:
        return self._parts.port or (443 if self._parts.scheme == "https" else 80)

    def _at(self, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return urlunsplit((self._parts.scheme, f"{host}:{self._port}", self._parts.path or "/", self._parts.query, ""))

    def _named(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {"Host": self._parts.netloc, "Accept-Encoding": "identity", "Accept": "*/*", **headers}

    def _tls(self) -> dict[str, str]:
        return {"sni_hostname": self._parts.hostname or ""} if self._parts.scheme == "https" else {}


def _addresses_of(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _begin_of(response: httpx2.Response) -> bytes:
    """The first bytes of the answer. The connection of a longer one is closed."""
    content = b""
    async for part in response.aiter_raw():
        content += part
        if len(content) >= ANSWER_BYTES_MAX:
            break
    return content[:ANSWER_BYTES_MAX]


def _clean(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:ANSWER_CHARS]


def _retry_after(text: str) -> timedelta | None:
    """How long to wait by a `Retry-After` header: seconds, or an HTTP date. None if it is missing or odd."""
    wait = None
    if text.isascii() and text.isdigit():
        wait = timedelta(seconds=min(int(text[:9]), RETRY_AFTER_MAX.total_seconds()))
    else:
        with suppress(ValueError, TypeError, OverflowError):
            wait = parsedate_to_datetime(text).astimezone(UTC) - wall_clock.now()
    return None if wait is None else min(max(wait, timedelta()), RETRY_AFTER_MAX)
