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
    redis, cursor, count = gate().redis, 0, 0
    await redis.unlink(DIRECTORY, LOOK_AT, LOADED_BY, MENDING, COMPARED, NOTIFICATIONS)
    while True:
        cursor, keys = await redis.scan(cursor, match="fs:{*", count=AT_ONCE)
        found = [key for key in keys if OF_CAMPAIGNS.match(key)]
        if found:
            count += await redis.unlink(*found)
        if not cursor:
            return count


async def lead_to(url: str) -> None:
    """Lets this event loop's gate be the Redis at another address. Only for commands: caches of the old one go."""
    await gate().close()
    _gates[asyncio.get_running_loop()] = Gate(url)


async def count_keys() -> int:
    """How many keys the database of this Redis has. Raises GateDown."""
    return int(await gate().redis.dbsize())


async def empty() -> None:
    """Deletes all keys of the database of this Redis. Raises GateDown."""
    await gate().redis.flushdb()
