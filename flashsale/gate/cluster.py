"""A Redis Cluster: which node has a key. Each node is a :class:`~flashsale.gate.server.Server` with a link of its own.

All keys of a campaign have its id as hash tag, so they are in one slot, on one node. A key of the installation is in
the slot of its own name. docs/adr/0030 says why.

    a node answers      what it means                              what is done
    MOVED               another node has the slot; nothing ran     the call is sent to that node
    ASK, TRYAGAIN       the slot is being moved; nothing ran       GateDown: the campaign waits for the end of the move
    CLUSTERDOWN         the node has no majority; nothing ran      GateDown
    READONLY, or gone   another node is promoted                   GateDown; the map is read again before the next call
"""

import asyncio
import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import MovedError

from config.redis_address import RedisAddress
from flashsale.gate.server import UNANSWERED, GateDown, Server, Timeouts

# A slot moves once in a while. A call that is sent on more often than this meets nodes that do not agree.
MOVES_MAX = 3
# While a node is away, every call to it fails, and the map is read no more often than this.
READ_AGAIN_S = 0.1
Where = tuple[str, int]


class Cluster:
    """The nodes of a Redis Cluster, for one event loop. Methods raise :class:`GateDown`."""

    def __init__(self, address: RedisAddress, timeouts: Timeouts) -> None:
        self._address, self._timeouts = address, timeouts
        self._servers: dict[Where, Server] = {}
        self._slots: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._masters: list[Server] = []
        self._stale = True
        self._read_at = -READ_AGAIN_S
        self._reading: asyncio.Task[None] | None = None
        self.redis: Any = _Commands(self)

    async def server_of(self, key: str | bytes) -> Server:
        """The node that has the slot of a key."""
        await self._read_if_stale()
        slot = key_slot(key.encode() if isinstance(key, str) else key)
        server = self._slots[slot]
        if server is None:
            self._stale = True
            raise GateDown(f"no node of the cluster has the slot {slot}")
        return server

    async def servers(self) -> list[Server]:
        """All masters."""
        await self._read_if_stale()
        return list(self._masters)

    def note(self, server: Server, error: object = None) -> bool:
        """Follows MOVED; whether the call may be sent again. After another error, the map is read again."""
        word, *rest = str(error).split(" ")
        if word != "MOVED" or len(rest) < 2:
            self._stale = True
            return False
        self.move(int(rest[0]), rest[1], server)
        return True

    def move(self, slot: int, where: str, told_by: Server) -> None:
        """Notes that another node has a slot. `where` is host and port as MOVED names them."""
        host, _, port = where.rpartition(":")
        known = next((at for at, server in self._servers.items() if server is told_by), self._address.hosts[0])
        self._slots[slot] = self._server((host.strip("[]") or known[0], int(port)))
        self._stale = True

    async def run_id(self) -> str:
        """What changes when any master is replaced or restarted. Masters that do not answer do not count."""
        found = await asyncio.gather(*(server.run_id() for server in await self.servers()), return_exceptions=True)
        run_ids = sorted(run_id for run_id in found if isinstance(run_id, str))
        if not run_ids:
            self._stale = True
            raise GateDown("no master of the cluster answers")
        if len(run_ids) < len(found):
            self._stale = True
        return hashlib.sha1(" ".join(run_ids).encode(), usedforsecurity=False).hexdigest()

    async def confirm(self) -> None:
        """Reads the map again, and asks every master once more who it is."""
        await self._read()
        await asyncio.gather(*(server.confirm() for server in self._masters), return_exceptions=True)

    async def close(self) -> None:
        """Closes all connections."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    def _server(self, where: Where) -> Server:
        if where not in self._servers:
            self._servers[where] = Server(RedisAddress("server", self._address.url_of(*where)), self._timeouts)
        return self._servers[where]

    async def _read_if_stale(self) -> None:
        if self._stale and (not self._masters or asyncio.get_running_loop().time() - self._read_at > READ_AGAIN_S):
            await self._read()

    async def _read(self) -> None:
        """Reads the map of the slots. One read for all callers that come while it runs."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_map())
        await asyncio.shield(self._reading)

    async def _read_map(self) -> None:
        try:
            known = [*self._servers, *self._address.hosts]
            errors: dict[str, None] = {}
            for where in random.sample(known, len(known)):
                try:
                    found = await _slots_at(where, self._address, self._timeouts)
                except UNANSWERED as error:
                    errors[f"{where[0]}:{where[1]}: {error}"] = None
                    continue
                self._keep(found, where)
                return
            raise GateDown(f"no node of the cluster tells the slots: {'; '.join(errors)}")
        finally:
            self._reading, self._read_at = None, asyncio.get_running_loop().time()

    def _keep(self, found: Sequence[Any], told_by: Where) -> None:
        slots: list[Server | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        masters: dict[Server, None] = {}
        for first, last, master, *_ in found:
            # A node that does not know its own address names none.
            server = self._server(((master[0] or b"").decode() or told_by[0], int(master[1])))
            masters[server] = None
            slots[first : last + 1] = [server] * (last + 1 - first)
        self._slots, self._masters, self._stale = slots, list(masters), False


async def _slots_at(where: Where, address: RedisAddress, timeouts: Timeouts) -> Sequence[Any]:
    """CLUSTER SLOTS of any node, replicas included."""
    client = aioredis.Redis.from_url(
        address.url_of(*where), socket_timeout=timeouts.answer_s, socket_connect_timeout=timeouts.connect_s,
        retry=Retry(NoBackoff(), 0), protocol=2,
    )  # fmt: skip
    # The reply as it is: redis-py would make another form of it.
    client.response_callbacks = {}
    try:
        found: Sequence[Any] = await client.execute_command("CLUSTER SLOTS")
        return found
    finally:
        await client.aclose()


class _Commands(aioredis.Redis):
    """redis-py's commands, each at the node of its key. A command without a key has no node: ask `servers`."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        for _ in range(MOVES_MAX):
            server = await self._cluster.server_of(args[1])
            try:
                return await server.redis.execute_command(*args, **options)
            except GateDown as error:
                cause = error.__cause__
                if isinstance(cause, MovedError):
                    self._cluster.move(cause.slot_id, f"{cause.host}:{cause.port}", server)
                else:
                    self._cluster.note(server)
                    raise
        raise GateDown(f"{args[0]}: the nodes of the cluster do not agree")

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self._cluster, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    """A pipeline whose commands go to the nodes of their keys. A transaction must have keys of one slot only."""

    def __init__(self, cluster: Cluster, callbacks: Any, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(None, callbacks, transaction, shard_hint)  # type: ignore[arg-type]
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, self.command_stack = self.command_stack, []
        at: dict[Server, list[int]] = defaultdict(list)
        for position, (args, _) in enumerate(stack):
            at[await self._cluster.server_of(args[1])].append(position)
        replies: list[Any] = [None] * len(stack)
        for server, positions in at.items():
            pipe = server.redis.pipeline(transaction=self.is_transaction)
            for position in positions:
                args, options = stack[position]
                pipe.execute_command(*args, **options)
            try:
                found = await pipe.execute(raise_on_error)
            except GateDown:
                self._cluster.note(server)
                raise
            for position, reply in zip(positions, found, strict=True):
                replies[position] = reply
        return replies
