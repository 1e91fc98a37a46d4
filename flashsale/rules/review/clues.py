"""What one order could have in common with others: values that are the same, and values that are only alike.

Raw names, addresses, phones and mailboxes are compared here and forgotten; what leaves are numbers of clusters.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, pairwise

from disposable_email_domains import blocklist
from rapidfuzz import fuzz

from flashsale.rules.address import Door, canonical_address, door
from flashsale.rules.identity import Axis, BadValue, canonical
from flashsale.rules.review.rule_set import Kind, RuleSet

# So many different spellings of addresses with one house number are compared with each other, no more: a crowd that
# writes nonsense must not cost the square of its size.
COMPARED_MAX = 2_000
_PUBLIC = (
    "gmail.com yahoo.com yahoo.co.id ymail.com rocketmail.com outlook.com outlook.co.id hotmail.com live.com msn.com "
    "icloud.com proton.me protonmail.com pm.me fastmail.com aol.com gmx.com mail.com zoho.com yandex.com"
)
_PROVIDERS = frozenset(_PUBLIC.split())
_TITLES = {"bpk", "bapak", "ibu", "sdr", "sdri", "h", "hj", "dr", "ir"}
_SAME_NAMES = {"m": "muhammad", "moh": "muhammad", "muh": "muhammad", "mohammad": "muhammad", "mohamad": "muhammad"}

Clusters = dict[str, Hashable]
"""By order, what it belongs to; without those that belong to nothing."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """Contact data in clear, as it was given with the order."""

    name: str
    address: str
    phone: str
    email: str


def mailbox(email: str) -> str:
    """The mailbox behind an address, also where only its name tells that `name+anything` is an alias of it."""
    try:
        local, _, domain = canonical(Axis.EMAIL, email).rpartition("@")
    except BadValue:
        return ""
    return f"{local.partition('+')[0] or local}@{domain}"


def mail_pattern(email: str) -> str:
    """The mailbox without what its digits are: toko1@ and toko2@ follow one pattern. Empty where it has no digits."""
    local, _, domain = mailbox(email).rpartition("@")
    pattern = re.sub(r"\d+", "#", local.replace(".", ""))
    return f"{pattern}@{domain}" if "#" in pattern else ""


def own_domain(email: str) -> str:
    """The domain of a mailbox that is not a public provider's."""
    domain = mailbox(email).rpartition("@")[2]
    return "" if domain in _PROVIDERS else domain


@lru_cache(maxsize=4096)
def is_disposable(domain: str) -> bool:
    """Whether a mail domain, or one it belongs to, gives away mailboxes for minutes."""
    labels = domain.lower().split(".")
    return any(".".join(labels[at:]) in blocklist for at in range(len(labels) - 1))


def name_words(name: str) -> str:
    """A name without titles, its words sorted: people write them in any order."""
    words = [_SAME_NAMES.get(word, word) for word in re.findall(r"[^\W\d_]+", name.casefold())]
    return " ".join(sorted(word for word in words if word not in _TITLES))


def by_address(buyers: Mapping[str, Buyer], rules: RuleSet) -> Clusters:
    """Orders that go to one door: numbers the same, words alike. Without a house number only the same text is."""
    doors = _Doors(rules)
    texts = {id_: canonical_address(buyer.address) for id_, buyer in buyers.items()}
    known = {text: doors.number(text) for text in dict.fromkeys(texts.values())}
    return {id_: text if known[text] is None else known[text] for id_, text in texts.items()}


class _Doors:
    """Doors in the sequence in which they were first met."""

    def __init__(self, rules: RuleSet) -> None:
        self._alike = rules.near_address
        self._met: list[Door] = []
        self._blocks: dict[str, dict[tuple[str, str], list[int]]] = defaultdict(lambda: defaultdict(list))

    def number(self, text: str) -> int | None:
        """The door's number; None where the text names no house."""
        there = door(text)
        if there is None:
            return None
        block, quarter = self._blocks[there.house], _quarter(there)
        # Whoever leaves RT and RW out may mean any of them.
        keys = dict.fromkeys((quarter, ("", ""))) if all(quarter) else dict.fromkeys((quarter, *block))
        near = (number for key in keys for number in block.get(key, ()))
        found = next((number for number in islice(near, COMPARED_MAX) if self._same(there, self._met[number])), None)
        if found is None:
            found = len(self._met)
            self._met.append(there)
            block[quarter].append(found)
        elif there.labelled.keys() - self._met[found].labelled.keys():
            # What one person left out another has told: from now on it counts.
            before = self._met[found]
            self._met[found] = replace(before, labelled=there.labelled | before.labelled)
            if _quarter(self._met[found]) != _quarter(before):
                block[_quarter(self._met[found])].append(found)
        return found

    def _same(self, one: Door, other: Door) -> bool:
        if not one.may_be(other) or not fuzz.ratio(one.street, other.street, score_cutoff=self._alike):
            return False
        if not one.others or not other.others or not set(one.others).isdisjoint(other.others):
            return True
        return any(fuzz.ratio(a, b, score_cutoff=self._alike) for a in one.others for b in other.others)


def _quarter(there: Door) -> tuple[str, str]:
    return there.labelled.get("rt", ""), there.labelled.get("rw", "")


def odd_addresses(buyers: Mapping[str, Buyer]) -> set[str]:
    """Orders whose address has a word that no other address has: a slip of the finger, or made up to look new."""
    words = {id_: set(re.findall(r"[^\W\d_]{2,}", canonical_address(buyer.address))) for id_, buyer in buyers.items()}
    counted = Counter(word for known in words.values() for word in known)
    return {id_ for id_, known in words.items() if any(counted[word] == 1 for word in known)}


def by_name(buyers: Mapping[str, Buyer], addresses: Clusters, rules: RuleSet) -> Clusters:
    """Orders under like names at one address. A common name elsewhere is somebody else."""
    firsts: dict[Hashable, list[str]] = defaultdict(list)
    found: Clusters = {}
    for id_, place in addresses.items():
        words = name_words(buyers[id_].name)
        known = firsts[place]
        alike = (other for other in known if fuzz.ratio(words, other, score_cutoff=rules.near_name))
        first = next(alike, None)
        if first is None:
            first = words
            if len(known) < COMPARED_MAX:
                known.append(words)
        found[id_] = (place, first)
    return found


def by_phone_block(buyers: Mapping[str, Buyer], rules: RuleSet) -> Clusters:
    """Orders whose phone numbers follow each other closely, by the first number of the block."""
    numbers = {id_: number for id_, buyer in buyers.items() if (number := _phone(buyer.phone))}
    ordered = sorted(set(numbers.values()))
    starts = ordered[:1] + [after for before, after in pairwise(ordered) if after - before > rules.phone_block]
    return {id_: starts[bisect_left(starts, number + 1) - 1] for id_, number in numbers.items()}


def _phone(text: str) -> int:
    try:
        return int(canonical(Axis.PHONE, text).removeprefix("+"))
    except BadValue:
        return 0


def each(buyers: Mapping[str, Buyer], value: Callable[[str], str]) -> Clusters:
    """Orders by something that follows from the mail address alone."""
    return {id_: key for id_, buyer in buyers.items() if (key := value(buyer.email))}


def clusters(buyers: Mapping[str, Buyer], rules: RuleSet) -> dict[Kind, Clusters]:
    """Everything in which contact data may be the same or alike. The sequence of `buyers` names the clusters."""
    addresses = by_address(buyers, rules)
    return {
        Kind.ADDRESS: addresses,
        Kind.NAME: by_name(buyers, addresses, rules),
        Kind.PHONE_BLOCK: by_phone_block(buyers, rules),
        Kind.MAILBOX: each(buyers, mailbox),
        Kind.MAIL_PATTERN: each(buyers, mail_pattern),
        Kind.MAIL_DOMAIN: each(buyers, own_domain),
    }


def bursts(moments: Sequence[int], rules: RuleSet) -> set[int]:
    """The moments (ms, sorted) that lie in a window in which enough people pay."""
    found: set[int] = set()
    within, start = rules.burst_s * 1000, 0
    for end, moment in enumerate(moments):
        while moment - moments[start] > within:
            start += 1
        if end - start + 1 >= rules.burst_people:
            found.update(moments[start : end + 1])
    return found
