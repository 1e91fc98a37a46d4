"""What Redis servers say about themselves: memory, eviction, persistence, replicas. For `manage.py doctor`."""

from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from config import redis_address
from flashsale.gate.client import CONNECT_TIMEOUT_S, SOCKET_TIMEOUT_S, GateDown
from flashsale.gate.cluster import Cluster
from flashsale.gate.server import UNANSWERED, Server, Timeouts

TIMEOUTS = Timeouts(SOCKET_TIMEOUT_S, CONNECT_TIMEOUT_S)


async def masters_facts(url: str) -> dict[str, dict[str, Any]]:
    """The fields of INFO of each master of this address, by host and port. Raises GateDown."""
    address = redis_address.parse(url)
    if address.kind == "server":
        return {"": await server_facts(url)}
    if address.kind == "cluster":
        cluster = Cluster(address, TIMEOUTS)
        try:
            return {server.name: dict(await server.redis.info()) for server in await cluster.servers()}
        finally:
            await cluster.close()
    server = Server(address, TIMEOUTS)
    try:
        connection: Any = await server.connect()
        await connection.disconnect(nowait=True)
        return {f"{connection.host}:{connection.port}": dict(await server.redis.info())}
    except UNANSWERED as error:
        raise GateDown(str(error)) from error
    finally:
        await server.close()


async def server_facts(url: str) -> dict[str, Any]:
    """The fields of INFO of the server at this address. Raises GateDown, also for a text that is no address."""
    try:
        client = aioredis.Redis.from_url(
            url, socket_timeout=SOCKET_TIMEOUT_S, socket_connect_timeout=CONNECT_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        try:
            return dict(await client.info())
        finally:
            await client.aclose()
    except (RedisError, OSError, ValueError) as error:
        raise GateDown(str(error)) from error
