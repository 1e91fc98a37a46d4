"""The connection to the gate (Redis): scripts are called by their hash, and no call is sent a second time blindly.

Every script gets the run id of the server and the highest mark that this process has seen of the sale. The run id
changes when the server restarts, is restored or is replaced by a replica; the link reads it when it connects. The mark
only grows. So a gate that has lost its memory, or whose memory went back in time, refuses all work (lua/prelude.lua).
"""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from hiredis import pack_command
from redis import asyncio as aioredis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError, WatchError

from flashsale import metrics
from flashsale.gate.link import Link, LinkBroken

# The gate decides in microseconds. A call that takes longer than a second is an outage, and its outcome is unknown.
SOCKET_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 0.3
CONNECTIONS_MAX = 64

LUA = files("flashsale.gate") / "lua"
PRELUDE = (LUA / "prelude.lua").read_text()

Key = TypeVar("Key")
Value = TypeVar("Value")


class GateDown(Exception):
    """The gate did not answer; whether the call had an effect is unknown."""


# All errors of redis-py, sockets and asyncio that mean that a command got no answer.
_UNANSWERED = (LinkBroken, RedisError, OSError, TimeoutError)


class _Commands(aioredis.Redis):
    """redis-py's commands, each on a connection of its own; every failure becomes :class:`GateDown`."""

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
        except WatchError:  # an answer: a key that was watched has changed
            raise
        except _UNANSWERED as error:
            raise GateDown(f"pipeline: {error}") from error

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """WATCH, and what is read after it."""
        try:
            return await super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except _UNANSWERED as error:
            raise GateDown(f"{args[0]}: {error}") from error


class Script:
    """A Lua file of this package with the shared prelude before it, called by its SHA-1."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.body = f"{PRELUDE}\n{(LUA / f'{name}.lua').read_text()}"
        self.sha = hashlib.sha1(self.body.encode(), usedforsecurity=False).hexdigest()


class Gate:
    """The connections of one event loop to Redis; every method raises :class:`GateDown` when Redis does not answer.

    `run_script` and `run_command` share one link and serve the crowd. `redis` is for all other commands, because a
    large reply on the shared link would delay everybody.
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
        # The highest mark seen, by the key of the sale's hash.
        self._marks: dict[str, int] = {}
        # Written by GateCache only, which gives the entries their types.
        self.caches: defaultdict[GateCache[Any, Any], dict[Any, Any]] = defaultdict(dict)
        # Any: the library types every reply as bytes or text, although this client always gets bytes.
        self.redis: Any = _Commands(connection_pool=self.pool, retry=Retry(NoBackoff(), 0))

    async def run_script(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """The script's reply. The server's run id and the sale's mark are put before `args`, as ARGV[1]."""
        began = time.perf_counter()
        try:
            link = await self._linked()
            rest = (len(keys), *keys, f"{link.run_id} {self._marks.get(keys[0], 0)}", *args)
            reply = await link.send(_packed("EVALSHA", script.sha, *rest))
            if isinstance(reply, ResponseError) and str(reply).startswith("NOSCRIPT"):
                # The script did not run, so it is safe to send it once more.
                reply = await link.send(_packed("EVAL", script.body, *rest))
        except _UNANSWERED as error:
            metrics.GATE_ERRORS.add(script.name)
            raise GateDown(f"{script.name}: {error}") from error
        metrics.GATE_SECONDS.observe(time.perf_counter() - began, script.name)
        if isinstance(reply, Exception):
            metrics.GATE_ERRORS.add(script.name)
            raise GateDown(f"{script.name}: {reply}") from reply
        return reply

    async def run_command(self, *command: str | int) -> Any:
        """The reply to a command, as Redis sends it."""
        try:
            reply = await (await self._linked()).send(_packed(*command))
        except _UNANSWERED as error:
            metrics.GATE_ERRORS.add("command")
            raise GateDown(f"{command[0]}: {error}") from error
        if isinstance(reply, Exception):
            metrics.GATE_ERRORS.add("command")
            raise GateDown(f"{command[0]}: {reply}") from reply
        return reply

    async def _linked(self) -> Link:
        """The shared link. Callers that come while it is being made wait for the same one."""
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
        """The run id of the Redis server."""
        try:
            return (await self._linked()).run_id
        except _UNANSWERED as error:
            raise GateDown(f"run id: {error}") from error

    async def replication_id(self) -> str:
        """The id that the Redis server got when it became a master."""
        return str((await self.redis.info("replication"))["master_replid"])

    def see_mark(self, sale_key: str, mark: int) -> None:
        """Remembers a mark of the sale with this key: the gate must never show a smaller one again."""
        self._marks[sale_key] = max(mark, self._marks.get(sale_key, 0))

    def start_marks(self, sale_key: str, mark: int) -> None:
        """Forgets what was seen of a sale that this process has just loaded. Its marks begin with this one."""
        self._marks[sale_key] = mark

    async def close(self) -> None:
        """Closes the connections."""
        if self._link:
            await self._link.close()
        await self.pool.disconnect()


class GateCache(Generic[Key, Value]):
    """A dictionary for each gate (for each event loop). A module makes one cache and keeps one kind of thing in it.

    The entries go when the gate goes, so nothing that was read through one server is used with another event loop's.
    """

    def entries(self) -> dict[Key, Value]:
        """The entries of the running event loop's gate; the caller reads and changes them."""
        return gate().caches[self]


def _packed(*command: Any) -> bytes:
    return bytes(pack_command(command))


async def wall_ms() -> int:
    """The wall clock of the Redis server, which every script uses; ms since 1970. Raises :class:`GateDown`."""
    seconds, micros = await gate().run_command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, Gate] = WeakKeyDictionary()


def gate() -> Gate:
    """The gate of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _gates.get(loop)
    if found is None:
        found = _gates[loop] = Gate(settings.REDIS_URL)
    return found
