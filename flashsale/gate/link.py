"""One connection to Redis on which calls do not wait for each other: sent as they come, answered in the same order.

redis-py connects, signs in and reads; its own pool hands a connection to one call at a time, which costs a busy door
more than the call itself.
"""

import asyncio
import math
from collections import deque
from typing import Any, Self, cast

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

# Beyond this many at once, waiting would only make all of them late.
WAITING_MAX = 20_000


class LinkBroken(Exception):
    """The connection ended: what the calls on it did is unknown."""


class Link:
    """A connection that has learned its server's run id. Belongs to one event loop."""

    def __init__(self, connection: AbstractConnection, *, timeout_s: float) -> None:
        self.run_id = ""
        self.broken = False
        self._connection = connection
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._unsent: list[bytes] = []
        self._awaited: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._alarm: asyncio.TimerHandle | None = None

    async def open(self) -> Self:
        """Connects; raises RedisError, OSError or TimeoutError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connection.connect()
                await self._connection.send_command("INFO", "server")
                info = cast("bytes", await self._connection.read_response(timeout=math.inf))
        except BaseException:
            await self._connection.disconnect(nowait=True)
            raise
        lines = info.decode().splitlines()
        self.run_id = next(line.removeprefix("run_id:").strip() for line in lines if line.startswith("run_id:"))
        self._tasks = [asyncio.create_task(work()) for work in (self._send, self._read)]
        return self

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """The reply to come, an exception of Redis among them; raises :class:`LinkBroken`, also later.

        Whoever stops waiting loses the reply and nothing else: its turn is kept.
        """
        if self.broken or len(self._awaited) >= WAITING_MAX:
            raise LinkBroken("broken" if self.broken else "too many wait")
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._awaited.append((self._loop.time(), reply))
        self._unsent.append(command)
        self._something.set()
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._timeout_s, self._check)
        return reply

    async def _send(self) -> None:
        """Everything asked since the last write goes out in one."""
        try:
            while await self._something.wait():
                self._something.clear()
                unsent, self._unsent = self._unsent, []
                await self._connection.send_packed_command(b"".join(unsent), check_health=False)
        except (RedisError, OSError) as error:
            self._break(error)

    async def _read(self) -> None:
        try:
            while True:
                try:
                    reply = await self._connection.read_response(timeout=math.inf)
                except ResponseError as refused:
                    reply = refused
                _, waiting = self._awaited.popleft()
                if not waiting.done():
                    waiting.set_result(reply)
        except (RedisError, OSError) as error:
            self._break(error)

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
        """Ends the connection, for a reply may still be on its way that nobody else must read; all who wait learn."""
        if self.broken:
            return
        self.broken = True
        for _, reply in self._awaited:
            if not reply.done():
                reply.set_exception(LinkBroken(repr(error)))
        self._awaited.clear()
        self._tasks.append(asyncio.create_task(self.close()))

    async def close(self) -> None:
        """Ends the connection."""
        self.broken = True
        if self._alarm:
            self._alarm.cancel()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await self._connection.disconnect(nowait=True)
