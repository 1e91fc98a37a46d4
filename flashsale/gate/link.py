"""One connection to Redis on which calls do not wait for each other: commands are sent at once, answers come in order.

redis-py connects and signs in, then this class takes over its transport. redis-py's streams wake a task in each
direction, and its pool lends a connection to one call at a time; in a busy web process both cost more than the call.
"""

import asyncio
from collections import deque
from typing import Any, cast

from hiredis import ProtocolError, Reader
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

# With more calls than this at once, waiting would only make all of them late.
WAITING_MAX = 20_000


class LinkBroken(Exception):
    """The connection ended; the effect of the calls on it is unknown."""


class Link(asyncio.Protocol):
    """An open connection that knows its server's run id. Belongs to one event loop."""

    def __init__(self, connection: AbstractConnection, *, run_id: str, timeout_s: float) -> None:
        self.run_id = run_id
        self.broken = False
        self._connection = connection
        # redis-py has no public way to its transport. tests/gate/test_redis_py.py names the versions that
        # have this one.
        self._transport = cast("asyncio.Transport", connection._writer.transport)  # type: ignore[union-attr]  # noqa: SLF001
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(replyError=ResponseError)
        self._awaited: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._transport.set_protocol(self)

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """The future reply, which may be an error of Redis. Raises :class:`LinkBroken`, now or later.

        A caller that stops waiting loses only its reply: the later replies still go to the right callers.
        """
        if self.broken or len(self._awaited) >= WAITING_MAX:
            raise LinkBroken("broken" if self.broken else "too many wait")
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._awaited.append((self._loop.time(), reply))
        self._transport.write(command)
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._timeout_s, self._check)
        return reply

    def data_received(self, data: bytes) -> None:
        """Gives every complete reply to the call that has waited longest."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                _, waiting = self._awaited.popleft()
                if not waiting.done():
                    waiting.set_result(reply)
        except (ProtocolError, IndexError) as error:
            self._break(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Breaks the link; the server or this process has closed the connection."""
        self._break(exc or ConnectionResetError("the server closed the connection"))

    def _check(self) -> None:
        """Breaks the link when its oldest call has waited too long."""
        self._alarm = None
        if self._awaited:
            left = self._awaited[0][0] + self._timeout_s - self._loop.time()
            if left <= 0:
                self._break(TimeoutError(f"no answer within {self._timeout_s} s"))
            else:
                self._alarm = self._loop.call_later(left, self._check)

    def _break(self, error: Exception) -> None:
        """Ends the connection, because a reply may still be on its way and must not go to a later call."""
        if not self.broken:
            self._give_up(error)
            self._ending = self._loop.create_task(self._end())

    def leave(self, reason: str) -> None:
        """Ends the connection soon; all waiting calls fail with :class:`LinkBroken`."""
        self._break(ConnectionAbortedError(reason))

    async def close(self) -> None:
        """Ends the connection; all waiting calls fail with :class:`LinkBroken`."""
        self._give_up(ConnectionAbortedError("closed by this process"))
        await self._end()

    def _give_up(self, error: Exception) -> None:
        self.broken = True
        for _, reply in self._awaited:
            if not reply.done():
                reply.set_exception(LinkBroken(repr(error)))
        self._awaited.clear()

    async def _end(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._transport.abort()
        await self._connection.disconnect(nowait=True)
