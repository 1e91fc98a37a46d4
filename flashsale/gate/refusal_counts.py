"""How often web processes refused which verb for which reason: counted in memory, written to Redis once a second.

The figures are for people to read, and no decision uses them. A process that dies loses those of its last second.
"""

from collections import Counter, defaultdict

from flashsale.gate import sale_cards
from flashsale.gate.client import gate
from flashsale.gate.scripts import keys_of

_counts: dict[str, Counter[str]] = defaultdict(Counter)


def count(sale: str, verb: str, word: str) -> None:
    """Counts one refusal of a verb at a sale, which is given by its code."""
    _counts[sale][f"{verb} {word}"] += 1


async def flush() -> None:
    """Adds the counts since the last call to those in Redis. Drops the counts of a code that has no sale.

    Raises GateDown. The counts that were being written are not written again, because they may have arrived. The other
    sales' counts are written by the next call.
    """
    for sale in list(_counts):
        card = await sale_cards.card_of(sale)
        counts = _counts.pop(sale)
        if card is None:
            continue
        pipe = gate().redis.pipeline(transaction=True)
        for word, times in counts.items():
            pipe.hincrby(keys_of(card).refused, word, times)
        await pipe.execute()
