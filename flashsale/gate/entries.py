"""Reads who stands in the lines of a sale that commits to its entries, in pieces. Writes nothing.

The place buckets lead from a digest to a place. Where a sale commits to its entries, the number of the bucket says of
which axis its digests are (keys.py), so one pass over all buckets gives the digests of every place by axis.
"""

from collections.abc import Mapping

from flashsale.gate.client import gate
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.gate.scripts import keys_of

# A piece has some ten thousand digests, so that the event loop is held up for a few milliseconds only.
BUCKETS_PER_READ = 200


async def read_buckets(card: SaleCard, first: int) -> list[Mapping[bytes, bytes]]:
    """The place buckets from number `first`, BUCKETS_PER_READ at most: digest → packed place. Raises GateDown."""
    last = min(first + BUCKETS_PER_READ, card.buckets)
    pipe = gate().redis.pipeline(transaction=False)
    for key in keys_of(card).buckets(range(first, last)):
        pipe.hgetall(key)
    found: list[Mapping[bytes, bytes]] = await pipe.execute()
    return found


async def voided(card: SaleCard, line: LineCard) -> set[int]:
    """The indexes of a line that are void, because their owners had an earlier place. Raises GateDown."""
    return {int(index) for index in await gate().redis.smembers(keys_of(card).voided(line.line_id))}


async def root_of(card: SaleCard, line: LineCard) -> str:
    """The root of a line's entries (hex), as far as Redis knows; "" before. Raises GateDown."""
    root = await gate().run_command("HGET", keys_of(card).line(line.line_id), "root")
    return root.decode() if root else ""
