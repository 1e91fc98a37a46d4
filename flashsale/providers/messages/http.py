"""Calls to gateways of messages: one POST, with a time limit. It follows no redirect and repeats nothing.

Each call has its own connection, so that a gateway that hangs keeps no other call waiting.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2

# Seconds. Without an answer in this time, the code waits for a report before it goes on to the next sender.
CONNECT_S = 2.0
READ_S = 8.0
BODY_BYTES_MAX = 64 * 1024


class Answer(NamedTuple):
    """What the server answered. The names in `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotConnected(Exception):
    """There was no connection, so the server did not get the request."""


class NoAnswer(Exception):
    """The request went out, and no valid answer came. The server may have carried it out."""


async def post(url: str, *, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Sends one request. Raises NotConnected, NoAnswer."""
    client = httpx2.AsyncClient(
        verify=_certificates(),
        trust_env=False,  # no proxy and no password of the environment comes between us and a gateway
        follow_redirects=False,
        timeout=httpx2.Timeout(READ_S, connect=CONNECT_S),
    )
    sent = {"Accept-Encoding": "identity", "Connection": "close", **headers}
    try:
        async with (
            client,
            asyncio.timeout(CONNECT_S + READ_S),
            client.stream("POST", url, headers=sent, content=body) as response,
        ):
            return Answer(response.status_code, dict(response.headers), await _bounded(response))
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise NotConnected(type(error).__name__) from error
    except (httpx2.HTTPError, TimeoutError) as error:
        raise NoAnswer(type(error).__name__) from error


async def _bounded(response: httpx2.Response) -> bytes:
    body = b""
    async for part in response.aiter_raw():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise NoAnswer("the body is too long")
    return body


async def reach(url: str) -> None:
    """Connects, with TLS where the address has it, and sends nothing. Raises NotConnected."""
    parts = urlsplit(url)
    tls = _certificates() if parts.scheme == "https" else None
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(parts.hostname or "", parts.port or (443 if tls else 80), ssl=tls)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise NotConnected(type(error).__name__) from error
    writer.transport.abort()


@cache
def _certificates() -> ssl.SSLContext:
    """The authorities that the machine trusts. Reading them takes some milliseconds."""
    return ssl.create_default_context()
