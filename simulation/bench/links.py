"""Kept HTTP connections for a crowd: requests as prepared bytes, answers to callbacks, no task for a request."""

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast

HOST = "127.0.0.1"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
LAST_CHUNK = b"0\r\n\r\n"
CONNECT_AGAIN_S = 0.2

# A callback gets the person, the status (0: the connection ended before the answer), the head and the body.
Then = Callable[[int, int, bytes, bytes], None]


class Asked(NamedTuple):
    """A request of a person, and what is called with its answer."""

    request: bytes
    person: int
    then: Then


def retry_after_s(head: bytes) -> float:
    """The seconds of Retry-After, 0 without one."""
    found = RETRY_AFTER.search(head)
    return float(found[1]) if found else 0.0


class Links:
    """At most `most` connections to a port, each with one request at a time. More requests wait for their turn."""

    def __init__(self, port: int, most: int, *, host: str = HOST, tls: ssl.SSLContext | None = None) -> None:
        self._port, self._most = port, most
        self._host, self._tls = host, tls
        self._open = 0
        self._free: list[Link] = []
        self._made: set[Link] = set()
        self._waiting: deque[Asked] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether no request is on its way or waits."""
        return len(self._free) == self._open and not self._waiting

    def ask(self, request: bytes, person: int, then: Then) -> None:
        """Sends a request as soon as a connection is free."""
        asked = Asked(request, person, then)
        if self._free:
            self._free.pop().send(asked)
            return
        self._waiting.append(asked)
        if self._open < self._most:
            self._open += 1
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        while not self._closed:
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: Link(self), self._host, self._port, ssl=self._tls
                )
            except OSError:
                await asyncio.sleep(CONNECT_AGAIN_S)
                continue
            return

    def made(self, link: "Link") -> None:
        """Notes a new connection. One that comes after `close` is closed at once."""
        self._made.add(link)
        if self._closed:
            link.close()
        else:
            self.free(link)

    def free(self, link: "Link") -> None:
        """Gives a free connection the next request that waits."""
        if self._waiting:
            link.send(self._waiting.popleft())
        else:
            self._free.append(link)

    def gone(self, link: "Link", unanswered: Asked | None, *, sent_again: bool) -> None:
        """Notes that a connection has ended. A request that it did not answer is sent again, as browsers do."""
        self._open -= 1
        self._made.discard(link)
        if link in self._free:
            self._free.remove(link)
        if self._closed:
            return
        if unanswered is not None:
            if sent_again:
                self.ask(*unanswered)
            else:
                unanswered.then(unanswered.person, 0, b"", b"")
        if self._waiting and not self._free:
            self.ask(*self._waiting.popleft())

    def close(self) -> None:
        """Closes the connections, also those that wait for an answer."""
        self._closed = True
        for link in self._made:
            link.close()
        for task in self._tasks:
            task.cancel()


class Link(asyncio.Protocol):
    """One connection of Links."""

    __slots__ = ("_answers", "_asked", "_links", "_received", "_transport")

    def __init__(self, links: Links) -> None:
        self._links = links
        self._asked: Asked | None = None
        self._received = b""
        self._answers = 0
        self._transport = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection may be used."""
        self._transport = cast("asyncio.Transport", transport)
        self._links.made(self)

    def send(self, asked: Asked) -> None:
        """Sends a request. The answer to the last one must have come."""
        self._asked = asked
        self._transport.write(asked.request)

    def data_received(self, data: bytes) -> None:
        """Calls back when the answer is complete, and takes the next request."""
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0 or not _is_complete(received, end):
            self._received = received
            return
        self._received = b""
        asked, self._asked = self._asked, None
        self._answers += 1
        head, body = received[:end], received[end + 4 :]
        is_kept = b"onnection: close" not in head
        if is_kept:
            self._links.free(self)
        if asked is not None:
            asked.then(asked.person, int(head[9:12]), head, body)
        if not is_kept:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Gives back what was not answered. A kept connection may just have been closed, so that is sent again."""
        asked, self._asked = self._asked, None
        self._links.gone(self, asked, sent_again=self._answers > 0 and not self._received)

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()


def _is_complete(received: bytes, end: int) -> bool:
    length = LENGTH.search(received, 0, end + 2)
    return len(received) >= end + 4 + int(length[1]) if length else received.endswith(LAST_CHUNK)
