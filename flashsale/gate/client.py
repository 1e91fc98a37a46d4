"""The connection to the gate (Redis): scripts are called by their hash. A call without an answer is not sent again.

Every script gets the run id of the server and the highest mark that this process has seen of the sale. The run id
changes when the server restarts, is restored or is replaced by a replica; the link reads it when it connects. The mark
only grows. So a gate that has lost its memory, or whose memory went back in time, refuses all work (lua/prelude.lua).
"""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from importlib.resources import files
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from hiredis import pack_command
from redis.exceptions import ResponseError

from config import redis_address
from flashsale import metrics
from flashsale.gate.cluster import MOVES_MAX, Cluster
from flashsale.gate.keys import LOOK_AT
from flashsale.gate.link import Link
from flashsale.gate.server import UNANSWERED, GateDown, Identity, Server, Timeouts

__all__ = ["Gate", "GateCache", "GateDown", "Script", "gate", "wall_ms"]

# The gate decides in microseconds. A call that takes longer than a second is an outage, and its outcome is unknown.
SOCKET_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 0.3
# As long as a clock lease.
DOUBT_S = 5.0

LUA = files("flashsale.gate") / "lua"
PRELUDE = (LUA / "prelude.lua").read_text()

Key = TypeVar("Key")
Value = TypeVar("Value")


class Script:
    """A Lua file of this package with the shared prelude before it, called by its SHA-1."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.body = f"{PRELUDE}\n{(LUA / f'{name}.lua').read_text()}"
        self.sha = hashlib.sha1(self.body.encode(), usedforsecurity=False).hexdigest()


class Gate:
    """The connections of one event loop to Redis; every method raises :class:`GateDown` when Redis does not answer.

    Redis is one server or a Redis Cluster; then each call goes to the node of its key. `run_script` and `run_command`
    share one link to each server and serve the crowd. `redis` is for all other commands, because a large reply on the
    shared link would delay everybody.
    """

    def __init__(self, url: str) -> None:
        address, timeouts = redis_address.parse(url), Timeouts(SOCKET_TIMEOUT_S, CONNECT_TIMEOUT_S)
        self._cluster = Cluster(address, timeouts) if address.kind == "cluster" else None
        self._server = None if self._cluster else Server(address, timeouts)
        # The highest mark seen, by the key of the sale's hash.
        self._marks: dict[str, int] = {}
        # Since when the books do not answer this process (monotonic clock), None if they do (life/compare_marks.py).
        self.unanswered_since: float | None = None
        # Written by GateCache only, which gives the entries their types.
        self.caches: defaultdict[GateCache[Any, Any], dict[Any, Any]] = defaultdict(dict)
        # Any: the library types every reply as bytes or text, although this client always gets bytes.
        self.redis: Any = (self._cluster or self._only).redis

    @property
    def _only(self) -> Server:
        assert self._server is not None
        return self._server

    async def run_script(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """The script's reply. The server's run id and the sale's mark are put before `args`, as ARGV[1]."""

        async def send(link: Link) -> Any:
            rest = (len(keys), *keys, f"{link.run_id} {self._marks.get(keys[0], 0)}", *args)
            reply = await link.send(_packed("EVALSHA", script.sha, *rest))
            if isinstance(reply, ResponseError) and str(reply).startswith("NOSCRIPT"):
                # The script did not run, so it is safe to send it once more.
                reply = await link.send(_packed("EVAL", script.body, *rest))
            return reply

        began = time.perf_counter()
        reply = await self._send(keys[0], script.name, send)
        metrics.GATE_SECONDS.observe(time.perf_counter() - began, script.name)
        return reply

    async def run_command(self, *command: str | int) -> Any:
        """The reply to a command about one key, as Redis sends it."""
        packed = _packed(*command)

        async def send(link: Link) -> Any:
            return await link.send(packed)

        return await self._send(str(command[1]), "command", send, name=str(command[0]))

    async def wall_ms(self, key: str) -> int:
        """The wall clock of the server that has a key; ms since 1970."""

        async def send(link: Link) -> Any:
            return await link.send(_packed("TIME"))

        seconds, micros = await self._send(key, "command", send, name="TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def _send(
        self, key: str, call: str, send: Callable[[Link], Coroutine[Any, Any, Any]], *, name: str = ""
    ) -> Any:
        """Sends a call to the server of this key. Only a call that did not run is sent again, to its new node."""
        for _ in range(MOVES_MAX):
            server = self._server or await self.server_of(key)
            try:
                reply = await send(await server.link())
            except UNANSWERED as error:
                if self._cluster:
                    self._cluster.note(server)
                metrics.GATE_ERRORS.add(call)
                raise GateDown(f"{name or call}: {error}") from error
            if not isinstance(reply, Exception):
                return reply
            server.note(reply)
            if not (self._cluster and self._cluster.note(server, reply)):
                break
        metrics.GATE_ERRORS.add(call)
        raise GateDown(f"{name or call}: {reply}") from reply

    async def server_of(self, key: str) -> Server:
        """The server that has a key."""
        return self._server or await self._nodes.server_of(key)

    @property
    def _nodes(self) -> Cluster:
        assert self._cluster is not None
        return self._cluster

    async def servers(self) -> list[Server]:
        """The server, or all masters of the cluster."""
        return [self._server] if self._server else await self._nodes.servers()

    async def run_id(self) -> str:
        """What changes when the Redis server restarts or is replaced; in a cluster, when any master does."""
        return await (self._server or self._nodes).run_id()

    async def identity(self, key: str) -> Identity:
        """What the memory of the server that has a key belongs to now."""
        return await (await self.server_of(key)).identity()

    async def confirm(self) -> None:
        """Asks once more which servers are the right ones, and leaves those that were replaced."""
        await (self._server or self._nodes).confirm()

    def see_mark(self, sale_key: str, mark: int) -> None:
        """Remembers a mark of the sale with this key: the gate must never show a smaller one again."""
        self._marks[sale_key] = max(mark, self._marks.get(sale_key, 0))

    def start_marks(self, sale_key: str, mark: int) -> None:
        """Forgets what was seen of a sale that this process has just loaded. Its marks begin with this one."""
        self._marks[sale_key] = mark

    def in_doubt(self) -> bool:
        """Whether the books have not answered for so long that another master may have replaced this one."""
        return self.unanswered_since is not None and time.monotonic() - self.unanswered_since > DOUBT_S

    async def close(self) -> None:
        """Closes the connections."""
        await (self._server or self._nodes).close()


class GateCache(Generic[Key, Value]):
    """A dictionary for each gate (for each event loop). A module makes one cache and keeps one kind of thing in it.

    The entries go when the gate goes, so nothing that was read through one server is used with another event loop's.
    """

    def entries(self) -> dict[Key, Value]:
        """The entries of the running event loop's gate; the caller reads and changes them."""
        return gate().caches[self]


def _packed(*command: Any) -> bytes:
    return bytes(pack_command(command))


async def wall_ms(key: str = LOOK_AT) -> int:
    """The wall clock of the Redis server that has a key, which its scripts use; ms since 1970. Raises GateDown."""
    return await gate().wall_ms(key)


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, Gate] = WeakKeyDictionary()


def gate() -> Gate:
    """The gate of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _gates.get(loop)
    if found is None:
        found = _gates[loop] = Gate(settings.REDIS_URL)
    return found


def every_gate() -> list[Gate]:
    """The gates of all event loops of this process."""
    return list(_gates.values())
