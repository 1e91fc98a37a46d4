"""Finds what orders have in common: values that are the same, and values that are similar.

Names, addresses, phones and mailboxes are compared here in clear and are not stored. The result says only which orders
share a cluster.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, pairwise
from typing import Protocol

from disposable_email_domains import blocklist
from rapidfuzz import fuzz

from flashsale.rules.address import House, canonical_address, parse_house
from flashsale.rules.identity import Axis, BadValue, canonical_value
from flashsale.rules.review.rule_set import Kind

# At most so many different addresses with one house number are compared with a new one. Otherwise a crowd that writes
# nonsense costs the square of its size.
COMPARED_MAX = 2_000
_PUBLIC = (
    "gmail.com yahoo.com yahoo.co.id ymail.com rocketmail.com outlook.com outlook.co.id hotmail.com live.com msn.com "
    "icloud.com proton.me protonmail.com pm.me fastmail.com aol.com gmx.com mail.com zoho.com yandex.com"
)
_PROVIDERS = frozenset(_PUBLIC.split())
_TITLES = {"bpk", "bapak", "ibu", "sdr", "sdri", "h", "hj", "dr", "ir"}
_SAME_NAMES = {"m": "muhammad", "moh": "muhammad", "muh": "muhammad", "mohammad": "muhammad", "mohamad": "muhammad"}

Clusters = dict[str, Hashable]
"""Order id → the cluster of the order. Orders without a cluster are missing."""


class Likeness(Protocol):
    """The numbers of a rule set that say what is similar."""

    @property
    def near_address(self) -> int:
        """How similar (0 to 100) the words of two addresses must be."""

    @property
    def near_name(self) -> int:
        """How similar two names must be."""

    @property
    def phone_block(self) -> int:
        """Phone numbers are in a row when each is at most this far from the next one."""


@dataclass(frozen=True, slots=True)
class BuyerContact:
    """Contact data in clear, as the buyer gave it with the order."""

    name: str
    address: str
    phone: str
    email: str


def mailbox(email: str) -> str:
    """The mailbox behind a mail address; empty when the address is not valid.

    A tag (`name+anything`) is removed at every provider. The canonical form removes it only where the provider is known
    to ignore it.
    """
    try:
        local, _, domain = canonical_value(Axis.EMAIL, email).rpartition("@")
    except BadValue:
        return ""
    return f"{local.partition('+')[0] or local}@{domain}"


def mail_pattern(email: str) -> str:
    """The mailbox with # in place of digits, because toko1@ and toko2@ follow one pattern. Empty without digits."""
    local, _, domain = mailbox(email).rpartition("@")
    pattern = re.sub(r"\d+", "#", local.replace(".", ""))
    return f"{pattern}@{domain}" if "#" in pattern else ""


def own_domain(email: str) -> str:
    """The domain of a mailbox; empty when it belongs to a public provider such as Gmail."""
    domain = mailbox(email).rpartition("@")[2]
    return "" if domain in _PROVIDERS else domain


@lru_cache(maxsize=4096)
def is_disposable(domain: str) -> bool:
    """Whether a mail domain, or a parent domain, offers mailboxes that live for minutes."""
    labels = domain.lower().split(".")
    return any(".".join(labels[at:]) in blocklist for at in range(len(labels) - 1))


def name_words(name: str) -> str:
    """The words of a name without titles, sorted, because people write them in any order."""
    words = [_SAME_NAMES.get(word, word) for word in re.findall(r"[^\W\d_]+", name.casefold())]
    return " ".join(sorted(word for word in words if word not in _TITLES))


def address_clusters(
    buyers: Mapping[str, BuyerContact],
    rule_set: Likeness,
    *,
    joined: bool = False,
    texts: Mapping[str, str] | None = None,
) -> Clusters:
    """Orders to the same house: the numbers are equal and the words similar.

    Addresses without a house number are in one cluster only when their canonical texts are equal. With `joined`, two
    houses are one if an address is similar to both and their numbers agree: one person leaves the district out, another
    one the city.
    """
    houses = _Houses(rule_set)
    texts = canonical_addresses(buyers) if texts is None else texts
    known = {text: houses.id_of(text) for text in dict.fromkeys(texts.values())}
    if joined:
        same = houses.joined(known)
        known = {text: None if id_ is None else same.get(id_, id_) for text, id_ in known.items()}
    return {id_: text if known[text] is None else known[text] for id_, text in texts.items()}


class _Houses:
    """The different houses so far. The id of a house is its position in the sequence."""

    def __init__(self, rule_set: Likeness) -> None:
        self._similar = rule_set.near_address
        self._houses: list[House] = []
        self._parsed: dict[str, House | None] = {}
        self._blocks: dict[str, dict[tuple[str, str], list[int]]] = defaultdict(lambda: defaultdict(list))

    def id_of(self, text: str) -> int | None:
        """The id of the house that a text names; None when it names no house."""
        house = self._parsed[text] = parse_house(text)
        if house is None:
            return None
        block, quarter = self._blocks[house.number], _quarter(house)
        # An address without RT and RW may be in any quarter.
        keys = dict.fromkeys((quarter, ("", ""))) if all(quarter) else dict.fromkeys((quarter, *block))
        candidates = (id_ for key in keys for id_ in block.get(key, ()))
        found = next((id_ for id_ in islice(candidates, COMPARED_MAX) if self._same(house, self._houses[id_])), None)
        if found is None:
            found = len(self._houses)
            self._houses.append(house)
            block[quarter].append(found)
        elif house.labelled.keys() - self._houses[found].labelled.keys():
            # This address has a number that the earlier ones left out. It counts from now on.
            before = self._houses[found]
            self._houses[found] = replace(before, labelled=house.labelled | before.labelled)
            if _quarter(self._houses[found]) != _quarter(before):
                block[_quarter(self._houses[found])].append(found)
        return found

    def joined(self, known: Mapping[str, int | None]) -> dict[int, int]:
        """Houses that are another one under a second spelling: the id of the other one by theirs."""
        same: dict[int, int] = {}
        streets: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for id_, house in enumerate(self._houses):
            streets[house.number][house.street].append(id_)

        def root(id_: int) -> int:
            while id_ in same:
                id_ = same[id_]
            return id_

        for text, first in known.items():
            named = self._parsed[text]
            if named is None or first is None:
                continue
            near = (
                id_
                for street, ids in islice(streets[named.number].items(), COMPARED_MAX)
                if fuzz.ratio(named.street, street, score_cutoff=self._similar)
                for id_ in islice(ids, COMPARED_MAX)
                if id_ != first and self._same(named, self._houses[id_])
            )
            for id_ in near:
                kept, other = root(first), root(id_)
                if other != kept and self._houses[kept].numbers_agree_with(self._houses[other]):
                    same[max(kept, other)] = min(kept, other)
        return {id_: root(id_) for id_ in same}

    def _same(self, one: House, other: House) -> bool:
        # Streets first: most houses with one number stand in another street, and this comparison is the cheapest.
        if not fuzz.ratio(one.street, other.street, score_cutoff=self._similar) or not one.numbers_agree_with(other):
            return False
        if not one.others or not other.others or not set(one.others).isdisjoint(other.others):
            return True
        return any(fuzz.ratio(a, b, score_cutoff=self._similar) for a in one.others for b in other.others)


def _quarter(house: House) -> tuple[str, str]:
    return house.labelled.get("rt", ""), house.labelled.get("rw", "")


def canonical_addresses(buyers: Mapping[str, BuyerContact]) -> dict[str, str]:
    """The canonical text of each address. To make it is half of the work with addresses."""
    return {id_: canonical_address(buyer.address) for id_, buyer in buyers.items()}


def odd_addresses(buyers: Mapping[str, BuyerContact], texts: Mapping[str, str] | None = None) -> set[str]:
    """Orders whose address has a word that no other address has: a typing error, or a word that was made up.

    `texts` are the canonical addresses, if they are known.
    """
    known = canonical_addresses(buyers) if texts is None else texts
    words = {id_: set(re.findall(r"[^\W\d_]{2,}", text)) for id_, text in known.items()}
    counts = Counter(word for own in words.values() for word in own)
    return {id_ for id_, own in words.items() if any(counts[word] == 1 for word in own)}


def name_clusters(buyers: Mapping[str, BuyerContact], addresses: Clusters, rule_set: Likeness) -> Clusters:
    """Orders with similar names at one address. The same name at another address is another person."""
    firsts: dict[Hashable, list[str]] = defaultdict(list)
    found: Clusters = {}
    for id_, address in addresses.items():
        words = name_words(buyers[id_].name)
        earlier = firsts[address]
        similar = (other for other in earlier if fuzz.ratio(words, other, score_cutoff=rule_set.near_name))
        first = next(similar, None)
        if first is None:
            first = words
            if len(earlier) < COMPARED_MAX:
                earlier.append(words)
        found[id_] = (address, first)
    return found


def phone_block_clusters(buyers: Mapping[str, BuyerContact], rule_set: Likeness) -> Clusters:
    """Orders whose phone numbers follow each other closely. The cluster is the first number of the block."""
    numbers = {id_: number for id_, buyer in buyers.items() if (number := _phone(buyer.phone))}
    ordered = sorted(set(numbers.values()))
    starts = ordered[:1] + [after for before, after in pairwise(ordered) if after - before > rule_set.phone_block]
    return {id_: starts[bisect_left(starts, number + 1) - 1] for id_, number in numbers.items()}


def _phone(text: str) -> int:
    """A phone number as one number; 0 when it is not valid."""
    try:
        return int(canonical_value(Axis.PHONE, text).removeprefix("+"))
    except BadValue:
        return 0


def email_clusters(buyers: Mapping[str, BuyerContact], value: Callable[[str], str]) -> Clusters:
    """Orders by a value that `value` computes from the mail address; an empty value gives no cluster."""
    return {id_: key for id_, buyer in buyers.items() if (key := value(buyer.email))}


def clusters(
    buyers: Mapping[str, BuyerContact],
    rule_set: Likeness,
    *,
    joined: bool = False,
    texts: Mapping[str, str] | None = None,
) -> dict[Kind, Clusters]:
    """All clusters of contact data by kind. Their names depend on the sequence of `buyers`."""
    addresses = address_clusters(buyers, rule_set, joined=joined, texts=texts)
    return {
        Kind.ADDRESS: addresses,
        Kind.NAME: name_clusters(buyers, addresses, rule_set),
        Kind.PHONE_BLOCK: phone_block_clusters(buyers, rule_set),
        Kind.MAILBOX: email_clusters(buyers, mailbox),
        Kind.MAIL_PATTERN: email_clusters(buyers, mail_pattern),
        Kind.MAIL_DOMAIN: email_clusters(buyers, own_domain),
    }


def bursts(moments: Sequence[int], *, seconds: int, people: int) -> set[int]:
    """The moments (ms, sorted) that lie in a window of so many seconds with at least `people` payments."""
    found: set[int] = set()
    window_ms, start = seconds * 1000, 0
    for end, moment in enumerate(moments):
        while moment - moments[start] > window_ms:
            start += 1
        if end - start + 1 >= people:
            found.update(moments[start : end + 1])
    return found
