"""The doors of a sale: which of them name a shared place, and in which quarters unusually many of them are busy."""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import exp, log10
from typing import TYPE_CHECKING

from flashsale.rules.review.findings import Value
from flashsale.rules.review.houses import HINTS
from flashsale.rules.review.rule_set import Kind

if TYPE_CHECKING:
    from flashsale.rules.review.surprise.people import Person

# A door of more people is a desk where parcels are fetched.
PEOPLE_AT_A_DOOR = 30
# Domains under these are given to schools, authorities and registered firms only. All others are sold to anybody.
_REGISTERED = (".ac.id", ".sch.id", ".go.id", ".mil.id", ".co.id", ".or.id", ".edu", ".gov")
# Words of addresses that many people share: boarding houses, offices, schools, shops, parcel desks, blocks of flats.
_NAMES = (
    "kost kos kosan kontrakan asrama wisma mess pondok pesantren ponpes kampus universitas univ institut politeknik "
    "akademi fakultas sekretariat bem himpunan sekolah smk sma smp sdn man mts kantor dinas balai pt cv bank koperasi "
    "yayasan rsud rsu klinik puskesmas masjid gereja gedung "
    "menara tower graha plaza mall mal agen indomaret alfamart alfamidi jne jnt sicepat ninja "
    "anteraja loker pickup hotel apartemen apartment apt rusun kondominium"
)
_PLACES = frozenset(_NAMES.split())
_WORDS = re.compile(r"[^\W\d_]+")
_POSTCODE = re.compile(r"\b\d{5}\b")
# People of one house who share one of these know each other. In a small house a shared network says so too.
_OF_RELATIVES = (Kind.DEVICE, Kind.PAYMENT, Kind.NAME)
_SMALL_HOUSE = 4
# A door is busy if so many people order to it. The largest surprise of these counts.
_BUSY_FROM = (2, 3, 4, 6, 8)
# A quarter with few orders counts as one with so many more, so that two busy doors among few do not surprise.
_MORE_ORDERS = 5


class Doors:
    """Doors and quarters. A quarter is a postcode: a door has the one that most of its people wrote.

    A busy door is one to which several people order who show no reason: no place is named, and fewer than half of them
    share a device, a card or a name.
    """

    def __init__(self, people: Sequence["Person"], having: Mapping[Value, list[int]]) -> None:
        self._people = people
        self.named: set[Hashable] = set()
        """Doors of which at least every fourth address, or mail domain, says that people share them."""
        self._quarters: dict[str, list[Hashable]] = defaultdict(list)
        self._quarter_of: dict[Hashable, str] = {}
        self._orders: Counter[str] = Counter()
        self._at_busy: Counter[str] = Counter()
        self._busy: dict[int, Counter[str]] = {size: Counter() for size in _BUSY_FROM}
        for (kind, door), members in having.items():
            if kind is Kind.ADDRESS:
                self._read(door, members)

    def _read(self, door: Hashable, members: Sequence[int]) -> None:
        addresses = [buyer.address for at in members if (buyer := self._people[at].orders[0].buyer)]
        names = sum(_names_a_place(address) for address in addresses)
        domains = (str(self._people[at].values.get(Kind.MAIL_DOMAIN, "")) for at in members)
        names = max(names, sum(is_registered(domain) for domain in domains))
        if names * 4 >= len(members):
            self.named.add(door)
        codes = Counter(code[0] for address in addresses if (code := _POSTCODE.search(address)))
        if not codes:
            return
        quarter = min(codes, key=lambda code: (-codes[code], code))
        self._orders[quarter] += len(members)
        if not 1 < len(members) <= PEOPLE_AT_A_DOOR:
            return
        if door not in self.named and not self._are_relatives(members):
            self._quarters[quarter].append(door)
            self._quarter_of[door] = quarter
            self._at_busy[quarter] += len(members)
            for size, counts in self._busy.items():
                counts[quarter] += len(members) >= size

    def _are_relatives(self, members: Sequence[int]) -> bool:
        tied: set[int] = set()
        for kind in (*_OF_RELATIVES, *((Kind.NETWORK,) if len(members) < _SMALL_HOUSE else ())):
            values = {at: value for at in members if (value := self._people[at].values.get(kind)) is not None}
            counts = Counter(values.values())
            tied |= {at for at, value in values.items() if counts[value] > 1}
        return len(tied) * 2 >= len(members)

    def quarters(self) -> Iterable[list[Hashable]]:
        """The busy doors of each quarter."""
        return self._quarters.values()

    def surprise(self, people: Iterable["Person"]) -> float:
        """How much rarer the busy doors of these people's quarter are, in powers of ten, than the sale lets expect.

        Doors of a kind are taken to stand where orders go, independently of each other (Poisson).
        """
        quarter = next((self._quarter_of[one.door] for one in people if one.door in self._quarter_of), "")
        if not quarter:
            return 0.0
        elsewhere = self._orders.total() - self._orders[quarter] - self._at_busy.total() + self._at_busy[quarter]
        here = self._orders[quarter] - self._at_busy[quarter] + _MORE_ORDERS
        found = 0.0
        for counts in self._busy.values():
            if counts[quarter] > 1:
                expected = (counts.total() - counts[quarter] + 1) / max(1, elsewhere) * here
                found = max(found, -log10(_at_least(counts[quarter], expected)) - log10(len(self._busy)))
        return found


def _names_a_place(address: str) -> bool:
    """Whether an address names a place that many people share. A school or a shop beside the house does not count."""
    words = _WORDS.findall(address.casefold())
    return any(word in _PLACES and before not in HINTS for before, word in pairwise(["", *words]))


def is_registered(domain: str) -> bool:
    """Whether a mail domain belongs to a school, an authority or a registered firm."""
    return domain.endswith(_REGISTERED)


def _at_least(count: int, expected: float) -> float:
    """The probability of so many or more events, where so many are expected: a Poisson tail, 1e-9 at least."""
    below, term = 0.0, exp(-expected)
    for at in range(count):
        below += term
        term *= expected / (at + 1)
    return max(1 - below, 1e-9)
