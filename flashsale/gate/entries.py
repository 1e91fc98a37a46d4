"""Reads who is in the lines of a sale that commits to its entries, in pieces. Writes nothing.

The place buckets lead from a digest to a place. Where a sale commits to its entries, the number of the bucket says of
which axis its digests are (keys.py), so one pass over all buckets gives the digests of every place by axis.
"""

import asyncio
from collections.abc import Callable, Mapping

from flashsale.gate.client import gate
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.gate.scripts import keys_of

# A piece has some ten thousand digests, so that the event loop is held up for a few milliseconds only.
BUCKETS_PER_READ = 200
Bucket = Mapping[bytes, bytes]


async def read_places(card: SaleCard, use: Callable[[int, Bucket], None]) -> None:
    """Calls `use` with the number of each place bucket and what is in it: digest → packed place. Raises GateDown.

    `use` runs in a thread while the next piece is on its way, so that the event loop serves others meanwhile.
    """
    reading = asyncio.create_task(_read_buckets(card, 0))
    try:
        for first in range(0, card.buckets, BUCKETS_PER_READ):
            buckets = await reading
            reading = asyncio.create_task(_read_buckets(card, first + BUCKETS_PER_READ))
            await asyncio.to_thread(_use_all, use, first, buckets)
    finally:
        reading.cancel()


def _use_all(use: Callable[[int, Bucket], None], first: int, buckets: list[Bucket]) -> None:
    for number, bucket in enumerate(buckets, start=first):
        use(number, bucket)


async def _read_buckets(card: SaleCard, first: int) -> list[Bucket]:
    numbers = range(first, min(first + BUCKETS_PER_READ, card.buckets))
    pipe = gate().redis.pipeline(transaction=False)
    for key in keys_of(card).buckets(numbers):
        pipe.hgetall(key)
    return await pipe.execute() if numbers else []


async def voided(card: SaleCard, line: LineCard) -> set[int]:
    """The indexes of a line that are void, because their owners had an earlier place. Raises GateDown."""
    return {int(index) for index in await gate().redis.smembers(keys_of(card).voided(line.line_id))}


async def root_of(card: SaleCard, line: LineCard) -> str:
    """The root of a line's entries (hex), as far as Redis knows; "" before. Raises GateDown."""
    root = await gate().run_command("HGET", keys_of(card).line(line.line_id), "root")
    return root.decode() if root else ""
