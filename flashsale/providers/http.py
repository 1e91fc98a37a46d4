"""HTTP calls to providers: JSON both ways, short time limits, a bounded body, no redirects, and no call is sent twice.

A call that got no answer may have had its effect. So this client never repeats one: the provider's file decides, after
a look. Certificates are always verified. Plain HTTP is only for a simulator on this machine: the settings of an account
refuse any other address (payments/account_settings.py).
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import httpx2

from flashsale.providers.failures import ProviderBusy, ProviderDown

CONNECT_S, READ_S, WHOLE_S = 2.0, 8.0, 10.0
BODY_BYTES_MAX = 256 * 1024
BUSY_S_MAX = 3600.0
# A provider that takes 100 calls a second and answers in 300 ms needs 30 connections.
CONNECTIONS = 64


class HttpAnswer(NamedTuple):
    """What a provider answered: the HTTP status, the object in the body, and the time on its clock, if it says so."""

    status: int
    fields: Mapping[str, Any]
    date: datetime | None


async def call(
    method: str, address: str, *, headers: Mapping[str, str], body: Mapping[str, Any] | None = None
) -> HttpAnswer:
    """Makes one call, within WHOLE_S seconds. Numbers with a fraction in the answer are Decimals.

    Raises ProviderBusy for status 429. Raises ProviderDown when there is no answer in time, and for an answer that is
    no JSON object, is longer than BODY_BYTES_MAX bytes, or redirects.
    """
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
    content = None
    if body is not None:
        content, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
    try:
        async with (
            asyncio.timeout(WHOLE_S),
            _client().stream(method, address, headers=sent, content=content) as response,
        ):
            return _read(response, await _bounded(response))
    except TimeoutError as error:
        raise ProviderDown(f"no whole answer in {WHOLE_S:.0f} s") from error
    except httpx2.HTTPError as error:
        # The text of the error may name the address, and an address may have a token of a payment page.
        raise ProviderDown(f"no answer: {type(error).__name__}") from None


async def _bounded(response: httpx2.Response) -> bytes:
    parts, length = [], 0
    async for part in response.aiter_raw():
        length += len(part)
        if length > BODY_BYTES_MAX:
            raise ProviderDown(f"HTTP {response.status_code}, more than {BODY_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


def _read(response: httpx2.Response, content: bytes) -> HttpAnswer:
    if response.status_code == httpx2.codes.TOO_MANY_REQUESTS:
        raise ProviderBusy(_seconds(response.headers.get("Retry-After", "")))
    if response.is_redirect:
        raise ProviderDown(f"HTTP {response.status_code}: a redirect, which is not followed")
    try:
        fields = json.loads(content, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ProviderDown(f"HTTP {response.status_code}, no JSON") from error
    if not isinstance(fields, dict):
        raise ProviderDown(f"HTTP {response.status_code}, no JSON object")
    return HttpAnswer(response.status_code, fields, _date(response.headers.get("Date", "")))


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _seconds(text: str) -> float:
    return min(BUSY_S_MAX, max(1.0, float(text))) if text.isascii() and text.isdigit() else 1.0


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else None


@cache
def certificates() -> ssl.SSLContext:
    """The authorities that the machine trusts. Reading them takes some milliseconds."""
    return ssl.create_default_context()


# A client belongs to the event loop on which it opened its connections.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = WeakKeyDictionary()


def _client() -> httpx2.AsyncClient:
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = httpx2.AsyncClient(
            verify=certificates(),
            trust_env=False,  # no proxy and no password of the environment comes between us and a provider
            follow_redirects=False,
            timeout=httpx2.Timeout(READ_S, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=CONNECTIONS, keepalive_expiry=15.0),
        )
    return client


async def close() -> None:
    """Closes the connections of this event loop. A process that ends need not do it."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.aclose()
