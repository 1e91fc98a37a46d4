"""Chance: which payment cards strangers may have in common, because only some of their digits are known.

A provider tells the first eight digits of a card, which all cards of one kind of a bank share, and the last four. So
two strangers with such cards have the same ones with a probability of 1 in 10,000, and a thousand of them make 50 such
pairs. An equal value links people only where chance hardly explains it.
"""

from collections import Counter
from collections.abc import Collection
from math import comb

# The digest of a masked card begins with so many bytes of the digest of its bank's digits. Another digest begins with
# bytes of its own.
BANK_BYTES = 4
LAST_DIGITS = 10_000
# At most so many groups by chance are accepted, for each number of orders with one card.
ACCEPTED = 0.01


def by_chance(digests: Collection[bytes]) -> set[bytes]:
    """The digests of cards (one for each order) that several orders may have in common by chance alone."""
    orders, of_bank = Counter(digests), Counter(digest[:BANK_BYTES] for digest in digests)
    return {
        digest
        for digest, count in orders.items()
        if count > 1
        and of_bank[digest[:BANK_BYTES]] > count
        and comb(of_bank[digest[:BANK_BYTES]], count) / LAST_DIGITS ** (count - 1) > ACCEPTED
    }
