"""What a Redis server says about itself: memory, eviction, persistence. For `manage.py doctor`."""

from typing import Any

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from flashsale.gate.client import CONNECT_TIMEOUT_S, SOCKET_TIMEOUT_S, GateDown


async def server_facts(url: str) -> dict[str, Any]:
    """The fields of INFO of the server at this address. Raises GateDown, also for an address that is none."""
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
