"""The one way to Redis: scripts by hash, nothing re-sent blindly, the server's run id with every call.

A run id changes whenever the server restarts, is restored or is replaced by a replica. Each connection learns it when
it connects and hands it to every script, so that a gate which lost its memory refuses all work (DESIGN 8.6).
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast
from weakref import WeakKeyDictionary

from django.conf import settings
from hiredis import pack_command
from redis import asyncio as aioredis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from flashsale.gate.coalesce import Coalescer, TooManyWaiting

# A call that takes longer than a second on a gate that decides in microseconds is an outage: its outcome is unknown.
SOCKET_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 0.3
CONNECTIONS_MAX = 64

LUA = files("flashsale.gate") / "lua"
PRELUDE = (LUA / "prelude.lua").read_text()


class GateDown(Exception):
    """The gate did not answer; whether the call had an effect is unknown."""


class Script:
    """A Lua file of this package behind the shared prelude, called by its SHA-1."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.body = f"{PRELUDE}\n{(LUA / f'{name}.lua').read_text()}"
        self.sha = hashlib.sha1(self.body.encode(), usedforsecurity=False).hexdigest()


async def _learn_run_id(connection: AbstractConnection) -> None:
    await connection.on_connect()
    await connection.send_command("INFO", "server")
    info = cast("bytes | str", await connection.read_response())
    text = info.decode() if isinstance(info, bytes) else info
    connection.run_id = next(  # type: ignore[attr-defined]
        line.removeprefix("run_id:").strip() for line in text.splitlines() if line.startswith("run_id:")
    )


@dataclass(frozen=True, slots=True)
class _Call:
    script: Script
    keys: Sequence[str]
    args: Sequence[str | bytes | int | float]

    def by_hash(self, run_id: str) -> bytes:
        return self._packed("EVALSHA", self.script.sha, run_id)

    def by_body(self, run_id: str) -> bytes:
        return self._packed("EVAL", self.script.body, run_id)

    def _packed(self, command: str, script: str, run_id: str) -> bytes:
        whole: Any = (command, script, len(self.keys), *self.keys, run_id, *self.args)  # its stub wants exactly one
        return bytes(pack_command(whole))


async def _exchange(connection: AbstractConnection, commands: Sequence[bytes]) -> list[Any]:
    """The replies to commands sent in one write, an exception where Redis refused one."""
    await connection.send_packed_command(b"".join(commands))
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies


class Gate:
    """Connections of one event loop."""

    def __init__(self, url: str) -> None:
        self.pool = aioredis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=SOCKET_TIMEOUT_S,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=_learn_run_id,
            protocol=2,
        )
        self._calls: Coalescer[_Call, Any] = Coalescer(self._send, fail_together=True)
        # Any: the library types every reply as bytes or text, whatever the client was told.
        self.redis: Any = aioredis.Redis(connection_pool=self.pool, retry=Retry(NoBackoff(), 0))

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """The script's reply; ARGV[1] is always the server's run id. Raises :class:`GateDown`.

        Calls that arrive while others are in flight travel together: one connection, one write, one wait for all.
        """
        try:
            reply = await self._calls.ask(_Call(script, keys, args))
        except TooManyWaiting as error:
            raise GateDown(f"{script.name}: too many wait") from error
        if isinstance(reply, Exception):
            raise GateDown(f"{script.name}: {reply}") from reply
        return reply

    async def _send(self, calls: Sequence[_Call]) -> list[Any]:
        """The replies, an exception where a script failed. Raises :class:`GateDown` when nobody knows what happened."""
        try:
            connection = await self.pool.get_connection()
        except (RedisError, OSError, TimeoutError) as error:
            raise GateDown(f"{calls[0].script.name}: {error}") from error
        try:
            replies = await _exchange(connection, [call.by_hash(connection.run_id) for call in calls])
            lost = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if lost:
                # These scripts did not run, so sending them once more is no blind repetition.
                again = await _exchange(connection, [calls[at].by_body(connection.run_id) for at in lost])
                for at, reply in zip(lost, again, strict=True):
                    replies[at] = reply
        except BaseException as error:
            # A reply may still be on its way: nobody else must read it.
            await connection.disconnect(nowait=True)
            if isinstance(error, RedisError | OSError | TimeoutError):
                raise GateDown(f"{calls[0].script.name}: {error}") from error
            raise
        else:
            return replies
        finally:
            await self.pool.release(connection)

    async def run_id(self) -> str:
        """The run id of the server behind the gate; raises :class:`GateDown`."""
        try:
            connection = await self.pool.get_connection()
        except (RedisError, OSError, TimeoutError) as error:
            raise GateDown("run id") from error
        try:
            return cast("str", connection.run_id)
        finally:
            await self.pool.release(connection)

    async def close(self) -> None:
        """Closes the connections."""
        await self.pool.disconnect()


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, Gate] = WeakKeyDictionary()


def gate() -> Gate:
    """The gate of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _gates:
        _gates[loop] = Gate(settings.REDIS_URL)
    return _gates[loop]
