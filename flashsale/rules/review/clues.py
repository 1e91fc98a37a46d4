"""Finds what orders have in common: values that are the same, and values that are similar.

Names, addresses, phones and mailboxes are compared here in clear and are not stored. The result says only which orders
share a cluster.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from disposable_email_domains import blocklist
from rapidfuzz import fuzz

from flashsale.rules.address import canonical_address
from flashsale.rules.identity import Axis, BadValue, canonical_value
from flashsale.rules.review.houses import House, group_by_house, parse_house
from flashsale.rules.review.rule_set import Kind

# At most so many different addresses with one house number are compared with a new one. Otherwise a crowd that writes
# nonsense costs the square of its size.
COMPARED_MAX = 2_000
_PUBLIC = (
    "gmail.com yahoo.com yahoo.co.id ymail.com rocketmail.com outlook.com outlook.co.id hotmail.com live.com msn.com "
    "icloud.com proton.me protonmail.com pm.me fastmail.com aol.com gmx.com mail.com zoho.com yandex.com"
)
_PROVIDERS = frozenset(_PUBLIC.split())
# Relays forward mail from mailboxes of random letters. People use them so that a shop does not learn their own mailbox.
_RELAYS = (
    "privaterelay.appleid.com mozmail.com relay.firefox.com duck.com passmail.net passmail.com passinbox.com "
    "simplelogin.com simplelogin.co slmail.me aleeas.com silomails.com 8alias.com 8shield.net dralias.com anonaddy.com "
    "anonaddy.me addy.io addymail.com 33mail.com"
)
_FORWARDERS = frozenset(_RELAYS.split())
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
    return "" if domain in _PROVIDERS or domain in _FORWARDERS else domain


def is_relayed(email: str) -> bool:
    """Whether a mailbox forwards to another one. Then its letters say nothing about its owner."""
    return email.casefold().rpartition("@")[2] in _FORWARDERS


@lru_cache(maxsize=4096)
def is_disposable(domain: str) -> bool:
    """Whether a mail domain, or a parent domain, offers mailboxes that live for minutes."""
    labels = domain.lower().split(".")
    return any(".".join(labels[at:]) in blocklist for at in range(len(labels) - 1))


def name_words(name: str) -> str:
    """The words of a name without titles, sorted, because people write them in any order."""
    words = [_SAME_NAMES.get(word, word) for word in re.findall(r"[^\W\d_]+", name.casefold())]
    return " ".join(sorted(word for word in words if word not in _TITLES))


def houses(buyers: Mapping[str, BuyerContact]) -> dict[str, House]:
    """What the address of each order says about its house."""
    read = {address: parse_house(address) for address in {buyer.address for buyer in buyers.values()}}
    return {id_: read[buyer.address] for id_, buyer in buyers.items()}


def odd_addresses(buyers: Mapping[str, BuyerContact]) -> set[str]:
    """Orders whose address has a word that no other address has: a typing error, or a word that was made up."""
    words = {id_: set(re.findall(r"[^\W\d_]{2,}", canonical_address(buyer.address))) for id_, buyer in buyers.items()}
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
    buyers: Mapping[str, BuyerContact], rule_set: Likeness, read: Mapping[str, House] | None = None
) -> dict[Kind, Clusters]:
    """All clusters of contact data by kind. `read` has the house of each order, if the addresses are read already."""
    addresses = group_by_house(houses(buyers) if read is None else read, rule_set.near_address)
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
