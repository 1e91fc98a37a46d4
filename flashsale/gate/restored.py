"""For a database that was restored from a backup: what the gate (Redis) knew, and how it forgets it.

Redis may know sales, places and orders that the restored database does not have. All of it goes, and the sales are
loaded from PostgreSQL again. One-time codes, nonces and quotas stay, because they do not come from PostgreSQL.
"""

import asyncio
import re
from collections.abc import Sequence

from flashsale.gate.client import Gate, _gates, gate
from flashsale.gate.keys import COMPARED, DIRECTORY, LOADED_BY, LOOK_AT, MENDING, NOTIFICATIONS, SaleKeys

AT_ONCE = 1000
OF_CAMPAIGNS = re.compile(rb"fs:\{\d+\}:")


async def known_blocks(lines: Sequence[tuple[tuple[int, int], int]]) -> list[int]:
    """The last index that Redis was allowed to give in each line (sale, line id); 0 where it has no such line.

    Raises GateDown.
    """
    pipe = gate().redis.pipeline(transaction=False)
    for sale, line in lines:
        pipe.hget(SaleKeys(*sale).line(line), "block")
    return [int(block or 0) for block in await pipe.execute()]


async def forget_sales() -> int:
    """Deletes everything about sales and campaigns. Returns how many keys. Raises GateDown; then call it again."""
    count = 0
    await _unlink([DIRECTORY, LOOK_AT, LOADED_BY, MENDING, COMPARED, NOTIFICATIONS])
    for server in await gate().servers():
        cursor = -1
        while cursor:
            cursor, keys = await server.redis.scan(max(cursor, 0), match="fs:{*", count=AT_ONCE)
            count += await _unlink([key for key in keys if OF_CAMPAIGNS.match(key)])
    return count


async def _unlink(keys: Sequence[str | bytes]) -> int:
    """Deletes keys one by one, because one command may not name keys of several nodes."""
    pipe = gate().redis.pipeline(transaction=False)
    for key in keys:
        pipe.unlink(key)
    return sum(await pipe.execute())


async def lead_to(url: str) -> None:
    """Lets this event loop's gate be the Redis at another address. Only for commands: caches of the old one go."""
    await gate().close()
    _gates[asyncio.get_running_loop()] = Gate(url)


async def count_keys() -> int:
    """How many keys the database of this Redis has. Raises GateDown."""
    return sum([int(await server.redis.dbsize()) for server in await gate().servers()])


async def empty() -> None:
    """Deletes all keys of the database of this Redis. Raises GateDown."""
    for server in await gate().servers():
        await server.redis.flushdb()
