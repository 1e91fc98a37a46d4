"""One Redis server, or the master that Sentinel names: its connections, which all lead to the same run of it.

Every new connection asks the server who it is. A replica is refused. When another run answers at the address (after a
restart or a failover), no connection to the old run is used again. So the writes of a rebuild never go to two servers,
and a process leaves a master that was demoted while its connections stayed open.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from redis import asyncio as aioredis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError, ResponseError

from config.redis_address import RedisAddress
from flashsale.gate.link import Link, LinkBroken

CONNECTIONS_MAX = 64


class GateDown(Exception):
    """The gate did not answer; whether the call had an effect is unknown."""


# All errors of redis-py, sockets and asyncio that mean that a command got no answer.
UNANSWERED = (LinkBroken, RedisError, OSError, TimeoutError)


class Timeouts(NamedTuple):
    """How long to wait for an answer and for a connection, in seconds."""

    answer_s: float
    connect_s: float


class Identity(NamedTuple):
    """What a server's memory belongs to. `switches` counts how often another run answered at the address."""

    run_id: str
    replication_id: str
    switches: int


class Server:
    """The connections of one event loop to one server. Methods raise :class:`GateDown`, unless they name another error.

    `link` serves the crowd. `redis` is for all other commands, each on a connection of its own, because a large reply
    on the shared link would delay everybody.
    """

    def __init__(self, address: RedisAddress, timeouts: Timeouts) -> None:
        self.name = address.url.rpartition("@")[2].rpartition("//")[2].partition("/")[0]
        self._timeouts = timeouts
        self._sentinels = _Sentinels(address, timeouts) if address.kind == "sentinel" else None
        options: dict[str, Any] = dict(parse_url(address.url))
        if self._sentinels:
            options = self._sentinels.instead_of_host(options)
        self.pool = _Pool(
            max_connections=CONNECTIONS_MAX,
            timeout=timeouts.answer_s,
            socket_timeout=timeouts.answer_s,
            socket_connect_timeout=timeouts.connect_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            redis_connect_func=self._greet,
            **options,
        )
        # Any: the library types every reply as bytes or text, although this client always gets bytes.
        self.redis: Any = _Commands(self)
        self._link: Link | None = None
        self._linking: asyncio.Task[Link] | None = None
        self._run_id = ""
        self._switches = 0
        # The run id of each connection that was greeted.
        self._greeted: WeakKeyDictionary[AbstractConnection, str] = WeakKeyDictionary()

    async def link(self) -> Link:
        """The shared link. Callers that come while it is being made wait for the same one. Raises one of UNANSWERED."""
        if self._link and not self._link.broken:
            return self._link
        if self._linking is None:
            self._linking = asyncio.create_task(self._make_link())
        return await asyncio.shield(self._linking)

    async def _make_link(self) -> Link:
        try:
            connection = await self.connect()
            run_id = self._greeted.pop(connection, "")
            if run_id != self._run_id:
                await connection.disconnect(nowait=True)
                raise NotConnected("another server answers at the address by now")
            self._link = Link(connection, run_id=run_id, timeout_s=self._timeouts.answer_s)
            return self._link
        finally:
            self._linking = None

    async def connect(self) -> AbstractConnection:
        """A connection that belongs to the caller. Raises one of UNANSWERED."""
        connection: AbstractConnection = self.pool.connection_class(**self.pool.connection_kwargs)
        try:
            async with asyncio.timeout(self._timeouts.answer_s):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _greet(self, connection: AbstractConnection) -> None:
        """Signs in, and asks a server that was just connected who it is."""
        await connection.on_connect()
        role = await _fact(connection, "replication", "role")
        if role != "master":
            raise NotConnected(f"the server is a {role or 'server that does not say its role'}, and not the master")
        run_id = await _fact(connection, "server", "run_id")
        if self._run_id and run_id != self._run_id:
            self._leave_others(run_id, "another server answers at the address now")
        self._run_id = run_id
        self._greeted[connection] = run_id

    def leave(self, reason: str) -> None:
        """Uses no connection again, because the server is not the right one any more. The next call connects anew."""
        self._leave_others("", reason)
        self._run_id = ""

    def _leave_others(self, run_id: str, reason: str) -> None:
        self._switches += 1
        if self._link and not self._link.broken:
            self._link.leave(reason)
        for connection in [old for old, known in self._greeted.items() if known != run_id]:
            del self._greeted[connection]
            # Closed before its next use. One that is in use ends its command first: a load notices by `switches`.
            connection.mark_for_reconnect()

    def note(self, answer: object) -> None:
        """Leaves the server when an answer of it says that it follows another one by now."""
        if isinstance(answer, ResponseError) and "READONLY" in str(answer):
            self.leave("the server follows another one by now")

    async def confirm(self) -> None:
        """Asks once more where the server is. If another one answers there by now, all connections to this one close.

        A connection to a master that was demoted, or that is cut off from its sentinels, may stay open. So this comes
        before a process trusts that a memory is to be rebuilt.
        """
        try:
            connection = await self.connect()
        except UNANSWERED as error:
            raise GateDown(f"confirm: {error}") from error
        self._greeted.pop(connection, None)
        await connection.disconnect(nowait=True)

    async def run_id(self) -> str:
        """The run id of the server."""
        try:
            return (await self.link()).run_id
        except UNANSWERED as error:
            raise GateDown(f"run id: {error}") from error

    async def identity(self) -> Identity:
        """What the server's memory belongs to now."""
        run_id, replication = await self.run_id(), await self.redis.info("replication")
        return Identity(run_id, str(replication["master_replid"]), self._switches)

    async def close(self) -> None:
        """Closes the connections."""
        if self._link:
            await self._link.close()
        await self.pool.disconnect()
        if self._sentinels:
            await self._sentinels.close()


async def _fact(connection: AbstractConnection, section: str, name: str) -> str:
    # Redis 6.2 answers for one section at a time.
    await connection.send_command("INFO", section)
    lines = cast("bytes", await connection.read_response()).decode().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), "")


class _Pool(aioredis.BlockingConnectionPool):
    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connects anew where the connection leads to a server that was left."""
        if connection.should_reconnect():
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)


class _Commands(aioredis.Redis):
    """redis-py's commands, each on a connection of its own; every failure becomes :class:`GateDown`."""

    def __init__(self, server: Server) -> None:
        super().__init__(connection_pool=server.pool, retry=Retry(NoBackoff(), 0))
        self._server = server

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except UNANSWERED as error:
            self._server.note(error)
            raise GateDown(f"{args[0]}: {error}") from error

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self._server, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    def __init__(self, server: Server, callbacks: Any, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(server.pool, callbacks, transaction, shard_hint)
        self._server = server

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return list(await super().execute(raise_on_error))
        except UNANSWERED as error:
            self._server.note(error)
            raise GateDown(f"pipeline: {error}") from error


class _Sentinels:
    """The sentinels of one master. It is the master that more than half of them name.

    One sentinel that is cut off from the others may go on naming a master that the others have replaced.
    """

    # redis-py asks for these of the pool of a connection, in whose place this stands.
    is_master = True
    check_connection = False

    def __init__(self, address: RedisAddress, timeouts: Timeouts) -> None:
        self._master = address.master
        options: dict[str, Any] = dict(parse_url(address.url))
        tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
        self._clients = [
            aioredis.Redis(
                host=host,
                port=port,
                username=address.sentinel_username or None,
                password=address.sentinel_password or None,
                ssl=address.tls,
                socket_timeout=timeouts.answer_s,
                socket_connect_timeout=timeouts.connect_s,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                **tls,
            )
            for host, port in address.hosts
        ]

    def instead_of_host(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a connection that asks these sentinels for its host."""
        tls = options.get("connection_class") is SSLConnection
        kept = {name: value for name, value in options.items() if name not in {"host", "port"}}
        managed = SentinelManagedSSLConnection if tls else SentinelManagedConnection
        return kept | {"connection_class": managed, "connection_pool": self}

    async def get_master_address(self) -> tuple[str, int]:
        """Host and port of the master. Raises redis-py's ConnectionError."""
        answers = await asyncio.gather(*map(self._ask, self._clients), return_exceptions=True)
        named = Counter(answer for answer in answers if isinstance(answer, tuple))
        for address, sentinels in named.most_common(1):
            if 2 * sentinels > len(self._clients):
                return address
        raise NotConnected(
            f"the sentinels do not agree on the master {self._master!r}: {_told(answers)}; expected: the same address "
            f"from more than half of {len(self._clients)}"
        )

    async def _ask(self, client: aioredis.Redis) -> tuple[str, int] | None:
        found: Any = await client.sentinel_get_master_addr_by_name(self._master)
        return None if found is None else (_text(found[0]), int(found[1]))

    async def close(self) -> None:
        """Closes the connections to the sentinels."""
        await asyncio.gather(*(client.aclose() for client in self._clients))


def _told(answers: Sequence[object]) -> str:
    texts = []
    for answer in answers:
        if isinstance(answer, tuple):
            texts.append(f"{answer[0]}:{answer[1]}")
        else:
            texts.append("does not know it" if answer is None else f"no answer ({answer})")
    return "; ".join(texts)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
