"""The one way to Redis: scripts by hash, nothing re-sent blindly, the server's run id with every call.

A run id changes whenever the server restarts, is restored or is replaced by a replica. The link to it learns it when
it connects and hands it to every script, so that a gate which lost its memory refuses all
work until the sale is loaded again from the books.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from hiredis import pack_command
from redis import asyncio as aioredis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from flashsale.gate.link import Link, LinkBroken

# A call that takes longer than a second on a gate that decides in microseconds is an outage: its outcome is unknown.
SOCKET_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 0.3
CONNECTIONS_MAX = 64

LUA = files("flashsale.gate") / "lua"
PRELUDE = (LUA / "prelude.lua").read_text()


class GateDown(Exception):
    """The gate did not answer; whether the call had an effect is unknown."""


# Of redis-py, its sockets and asyncio: whatever keeps a command from being answered.
_UNANSWERED = (LinkBroken, RedisError, OSError, TimeoutError)


class _Commands(aioredis.Redis):
    """redis-py's commands, each on a connection of its own; what goes wrong with one is :class:`GateDown`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except _UNANSWERED as error:
            raise GateDown(f"{args[0]}: {error}") from error

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return list(await super().execute(raise_on_error))
        except _UNANSWERED as error:
            raise GateDown(f"pipeline: {error}") from error


class Script:
    """A Lua file of this package behind the shared prelude, called by its SHA-1."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.body = f"{PRELUDE}\n{(LUA / f'{name}.lua').read_text()}"
        self.sha = hashlib.sha1(self.body.encode(), usedforsecurity=False).hexdigest()


class Gate:
    """The way to Redis of one event loop; whatever is asked of it raises :class:`GateDown`.

    `call` runs scripts, `ask` small commands on a crowd's way, `redis` all others: a large reply holds up nobody.
    """

    def __init__(self, url: str) -> None:
        self.pool = aioredis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=SOCKET_TIMEOUT_S,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._link: Link | None = None
        self._linking: asyncio.Task[Link] | None = None
        # What was learnt through this gate and goes with it: cards, draws, batches on their way; by who keeps it.
        self.kept: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
        # Any: the library types every reply as bytes or text, whatever the client was told.
        self.redis: Any = _Commands(connection_pool=self.pool, retry=Retry(NoBackoff(), 0))

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """The script's reply; ARGV[1] is always the server's run id."""
        try:
            link = await self._linked()
            rest = (len(keys), *keys, link.run_id, *args)
            reply = await link.ask(_packed("EVALSHA", script.sha, *rest))
            if isinstance(reply, ResponseError) and str(reply).startswith("NOSCRIPT"):
                # The script did not run, so sending it once more is no blind repetition.
                reply = await link.ask(_packed("EVAL", script.body, *rest))
        except _UNANSWERED as error:
            raise GateDown(f"{script.name}: {error}") from error
        if isinstance(reply, Exception):
            raise GateDown(f"{script.name}: {reply}") from reply
        return reply

    async def ask(self, *command: str | int) -> Any:
        """The reply to a command, as Redis sends it."""
        try:
            reply = await (await self._linked()).ask(_packed(*command))
        except _UNANSWERED as error:
            raise GateDown(f"{command[0]}: {error}") from error
        if isinstance(reply, Exception):
            raise GateDown(f"{command[0]}: {reply}") from reply
        return reply

    async def _linked(self) -> Link:
        """The link that calls share; whoever comes while it is being made waits for the same one."""
        if self._link and not self._link.broken:
            return self._link
        if self._linking is None:
            self._linking = asyncio.create_task(self._make_link())
        return await asyncio.shield(self._linking)

    async def _make_link(self) -> Link:
        try:
            connection = self.pool.connection_class(**self.pool.connection_kwargs)
            self._link = await Link.open(connection, timeout_s=SOCKET_TIMEOUT_S)
            return self._link
        finally:
            self._linking = None

    async def run_id(self) -> str:
        """The run id of the server behind the gate; raises :class:`GateDown`."""
        try:
            return (await self._linked()).run_id
        except _UNANSWERED as error:
            raise GateDown(f"run id: {error}") from error

    async def close(self) -> None:
        """Closes the connections."""
        if self._link:
            await self._link.close()
        await self.pool.disconnect()


def _packed(*command: Any) -> bytes:
    return bytes(pack_command(command))


async def wall_ms() -> int:
    """The wall clock of the gate's server, which every script goes by; ms since 1970. Raises :class:`GateDown`."""
    seconds, micros = await gate().ask("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, Gate] = WeakKeyDictionary()


def gate() -> Gate:
    """The gate of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _gates.get(loop)
    if found is None:
        found = _gates[loop] = Gate(settings.REDIS_URL)
    return found
