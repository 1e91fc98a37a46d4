"""How often doors refused whom for what: counted in each process for nothing, added up in the gate a moment later.

Figures for people to read: a process that dies takes those of its last moment with it, and no promise rests on them.
"""

from collections import Counter, defaultdict

from flashsale.gate import sale_cards
from flashsale.gate.client import gate
from flashsale.gate.scripts import keys_of

_counts: dict[str, Counter[str]] = defaultdict(Counter)


def count(sale: str, verb: str, word: str) -> None:
    """One refusal of a verb at a sale that there is (its code)."""
    _counts[sale][f"{verb} {word}"] += 1


async def tell() -> None:
    """Adds what was counted since the last time.

    Raises GateDown: what was on its way is not told again, for it may have arrived; the rest is told the next time.
    """
    for sale in list(_counts):
        card = await sale_cards.card_of(sale)
        told = _counts.pop(sale)
        if card is None:
            continue
        pipe = gate().redis.pipeline(transaction=True)
        for word, times in told.items():
            pipe.hincrby(keys_of(card).refused, word, times)
        await pipe.execute()
