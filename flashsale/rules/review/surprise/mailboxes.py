"""Mailboxes that do not look like a person's: unlike the name of the buyer, of odd letters, by one pattern."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from math import log

from flashsale.rules.review.clues import BuyerContact, mailbox

_LETTERS = re.compile(r"[^\W\d_]+")
# A piece of a name this long in a mailbox is hardly there by chance.
_PIECE = 3
_PREFIX = 4
# Of a hundred words of names, so many have letters as improbable as the bound.
_IMPROBABLE = 2


class Alphabet:
    """How probable letters follow each other, learned from the names of this sale's buyers."""

    def __init__(self, names: Iterable[str]) -> None:
        words = [word for name in names for word in _LETTERS.findall(name.casefold()) if len(word) > _PIECE]
        self._pairs = Counter(pair for word in words for pair in pairwise(f" {word} "))
        self._firsts = Counter(letter for word in words for letter in f" {word}")
        scores = sorted(self.score(word) for word in set(words))
        self._bound = scores[len(scores) * _IMPROBABLE // 100] if scores else 0.0

    def score(self, word: str) -> float:
        """The mean log-probability of the word's letters, each after the one before."""
        pairs = list(pairwise(f" {word} "))
        return sum(log((self._pairs[pair] + 0.5) / (self._firsts[pair[0]] + 15)) for pair in pairs) / len(pairs)

    def is_improbable(self, word: str) -> bool:
        """Whether a word has less probable letters than nearly all words of names."""
        return len(word) > _PIECE and self.score(word) < self._bound


def is_odd(buyer: BuyerContact, alphabet: Alphabet) -> bool:
    """Whether a mailbox has nothing of its buyer's name, or letters that no name has."""
    words = _LETTERS.findall(mailbox(buyer.email).rpartition("@")[0])
    if not words:
        return True
    return not _has_the_name("".join(words), buyer.name) or any(alphabet.is_improbable(word) for word in words)


def _has_the_name(local: str, name: str) -> bool:
    names = _LETTERS.findall(name.casefold())
    for word in names:
        if len(word) >= _PIECE and word[:_PREFIX] in local:
            return True
    initials = "".join(word[0] for word in names)
    joined = "".join(names)
    return bool(local) and (local == initials or (len(local) >= _PIECE and local[:_PREFIX] in joined))


def shape(email: str) -> str:
    """The form of a mailbox: letters as a, digits by their number. So budi.santoso12 and ani.dewi77 are alike."""
    local = mailbox(email).rpartition("@")[0]
    return re.sub(r"\d+", lambda digits: str(min(len(digits[0]), 9)), _LETTERS.sub("a", local))
