"""A small HTTP client for gateways: one POST, with a time limit. It follows no redirect and repeats nothing.

Each call has its own connection, so that a gateway that hangs keeps no other call waiting.
"""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from http.client import HTTPException, parse_headers
from io import BytesIO
from typing import NamedTuple
from urllib.parse import urlsplit

# Seconds. A gateway that needs longer to answer is slow, and the code goes to the next sender.
CONNECT_S = 2.0
READ_S = 8.0
HEAD_BYTES_MAX = 16 * 1024
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
    reader, writer = await _connect(url)
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    fields = {
        "Host": parts.netloc.rpartition("@")[2],
        "Connection": "close",
        "Accept-Encoding": "identity",
        "Content-Length": str(len(body)),
        **headers,
    }
    head = "".join([f"POST {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"])
    try:
        async with asyncio.timeout(READ_S):
            writer.write(head.encode("latin-1") + body)
            await writer.drain()
            return await _read(reader)
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError, ValueError, HTTPException) as error:
        raise NoAnswer(type(error).__name__) from error
    finally:
        writer.transport.abort()


async def reach(url: str) -> None:
    """Connects, with TLS where the address has it, and sends nothing. Raises NotConnected."""
    _reader, writer = await _connect(url)
    writer.transport.abort()


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    tls = _verifying() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    try:
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(parts.hostname or "", port, ssl=tls, limit=HEAD_BYTES_MAX)
    except (OSError, TimeoutError, UnicodeError) as error:
        raise NotConnected(type(error).__name__) from error


@cache
def _verifying() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _read(reader: asyncio.StreamReader) -> Answer:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        first, _, rest = head.partition(b"\r\n")
        version, _, words = first.decode("latin-1").partition(" ")
        status = int(words[:3])
        if not version.startswith("HTTP/1.") or not 100 <= status <= 599:
            raise ValueError("not HTTP")
        if status >= 200:  # 1xx comes before the answer
            break
    headers = {name.lower(): value for name, value in parse_headers(BytesIO(rest)).items()}
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return Answer(status, headers, await _chunks(reader))
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(_bounded(int(headers["content-length"]))))
    body = b""
    while part := await reader.read(BODY_BYTES_MAX):
        body += part
        _bounded(len(body))
    return Answer(status, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        _bounded(len(body) + size)
        body += (await reader.readexactly(size + 2))[:size]
    return body


def _bounded(size: int) -> int:
    if not 0 <= size <= BODY_BYTES_MAX:
        raise ValueError("the body is too long")
    return size
