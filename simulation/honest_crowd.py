"""Honest buyers of a simulated sale, household by household. Nothing here knows the rules of the review."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from simulation.crowd_text import COMMON, Country, House

# How many of a thousand honest households are of a kind; most orders come from people on their own.
HOUSEHOLDS = {
    "single": 640, "family": 190, "large family": 8, "gift buyer": 45, "helper": 25, "boarding house": 20,
    "campus": 4, "office": 18, "pick-up point": 8, "common name": 30, "mobile network": 12,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Purchase:
    """One confirmed order with its truth: the kind of people behind it, who belongs together, whether it is a ring."""

    kind: str
    house: str
    ring: bool
    name: str
    address: str
    phone: str
    email: str
    device: str
    card: str
    network: str
    reserved_ms: int
    paid_ms: int


class Neighbours:
    """Makes honest purchases. `sold_in_ms`: how long the sale lasted."""

    def __init__(self, luck: random.Random, *, sold_in_ms: int) -> None:
        self.luck, self.country, self._sold_in_ms = luck, Country(luck), sold_in_ms
        self._made = 0
        self._make: dict[str, Callable[[str], Iterator[Purchase]]] = {
            "single": self._single, "family": self._family, "large family": self._large_family,
            "gift buyer": self._gifts, "helper": self._helper, "boarding house": self._boarding_house,
            "campus": self._campus, "office": self._office, "pick-up point": self._pick_up_point,
            "common name": self._common_name, "mobile network": self._mobile_network,
        }  # fmt: skip

    def household(self) -> list[Purchase]:
        """Some household's orders, at least one."""
        (kind,) = self.luck.choices(list(HOUSEHOLDS), list(HOUSEHOLDS.values()))
        self._made += 1
        return list(self._make[kind](f"{kind} {self._made}"))

    def person(self, house: str, at: House, *, room: str = "", name: str = "", network: str = "") -> Purchase:
        """Somebody with everything of their own, except what is given."""
        country, luck = self.country, self.luck
        name = name or country.name()
        reserved = luck.randrange(self._sold_in_ms)
        # One in ten pays by one tap in an app; the others type or scan.
        took_s = luck.lognormvariate(2.0, 0.6) if luck.random() < 0.1 else luck.lognormvariate(3.8, 0.8)
        email = country.mail(name)
        if luck.random() < 0.004:
            email = f"{email.partition('@')[0]}@{luck.choice(('mailinator.com', 'yopmail.com', 'guerrillamail.com'))}"
        return Purchase(
            kind=house.rpartition(" ")[0], house=house, ring=False, name=name, address=country.written(at, room=room),
            phone=country.phone(), email=email, device=country.token(), card=country.token(),
            network=network or (country.mobile_network() if luck.random() < 0.6 else country.home_network()),
            reserved_ms=reserved, paid_ms=reserved + round(took_s * 1000),
        )  # fmt: skip

    def _single(self, house: str) -> Iterator[Purchase]:
        yield self.person(house, self.country.house())

    def _family(self, house: str, sizes: tuple[int, ...] = (2, 2, 2, 2, 2, 2, 3, 3, 4)) -> Iterator[Purchase]:
        luck, at, home = self.luck, self.country.house(), self.country.home_network()
        surname = self.country.name().split()[-1]
        card, tablet = self.country.token(), self.country.token()
        for _ in range(luck.choice(sizes)):
            name = f"{self.country.name().split()[0]} {surname}" if luck.random() < 0.5 else ""
            who = self.person(house, at, name=name, network=home if luck.random() < 0.6 else "")
            who = replace(who, card=card) if luck.random() < 0.45 else who
            yield replace(who, device=tablet) if luck.random() < 0.2 else who

    def _large_family(self, house: str) -> Iterator[Purchase]:
        yield from self._family(house, (5, 5, 6, 7))

    def _gifts(self, house: str) -> Iterator[Purchase]:
        """One pays; relatives elsewhere receive, each under their own name and phone."""
        giver = self.person(house, self.country.house())
        yield giver
        for _ in range(self.luck.choice((1, 1, 1, 1, 2, 2, 3))):
            other = self.person(house, self.country.house(), network=giver.network)
            yield replace(other, card=giver.card, device=giver.device if self.luck.random() < 0.6 else other.device)

    def _helper(self, house: str) -> Iterator[Purchase]:
        """A young relative or a neighbour types for those who cannot; they pay for themselves."""
        helper = self.person(house, self.country.house())
        yield helper
        for _ in range(self.luck.choice((1, 1, 1, 2, 2, 3))):
            yield replace(self.person(house, self.country.house(), network=helper.network), device=helper.device)

    def _boarding_house(self, house: str) -> Iterator[Purchase]:
        luck, at, wifi = self.luck, self.country.house(), self.country.home_network()
        for room in range(1, 1 + min(20, max(2, round(luck.lognormvariate(1.6, 0.6))))):
            one = self.person(house, at, room=f"kamar {room}", network=wifi if luck.random() < 0.6 else "")
            yield one
            if luck.random() < 0.08:  # a couple on one card or one phone
                two = self.person(house, at, room=f"kamar {room}", network=one.network)
                yield replace(two, card=one.card) if luck.random() < 0.5 else replace(two, device=one.device)

    def _campus(self, house: str) -> Iterator[Purchase]:
        luck, at, wifi = self.luck, self.country.house(), self.country.home_network()
        for _ in range(luck.randint(6, 40)):
            who = self.person(house, at, room=f"lt {luck.randint(1, 4)} kamar {luck.randint(1, 40)}", network=wifi)
            local = f"{who.name.lower().replace(' ', '.')}{luck.randint(19, 23)}{luck.randint(100, 999)}"
            yield replace(who, email=f"{local}@student.kampus{at.rw}.ac.id") if luck.random() < 0.5 else who

    def _office(self, house: str) -> Iterator[Purchase]:
        """Parcels go to the office; some firms hand out phones with numbers in a row, some colleagues pay for two."""
        luck, at, wifi = self.luck, self.country.house(), self.country.home_network()
        firm, first = f"pt{self.country.token()[:5]}.co.id", luck.randrange(10**7, 9 * 10**7)
        in_a_row = luck.random() < 0.1
        card = self.country.token()
        for at_desk in range(luck.randint(3, 25)):
            who = self.person(house, at, room=luck.choice(("", "lt 3", "unit 12")), network=wifi)
            if luck.random() < 0.4:
                number = at_desk if luck.random() < 0.1 else ""
                who = replace(who, email=f"{who.name.lower().replace(' ', '.')}{number}@{firm}")
            if in_a_row and luck.random() < 0.7:
                who = replace(who, phone=f"0811{first + at_desk}")
            yield replace(who, card=card) if luck.random() < 0.06 else who

    def _pick_up_point(self, house: str) -> Iterator[Purchase]:
        at = self.country.house()
        for _ in range(self.luck.randint(3, 40)):
            yield self.person(house, at, room=self.luck.choice(("", "titip agen", "loker")))

    def _common_name(self, house: str) -> Iterator[Purchase]:
        """Two who are called the same and live some doors apart in the same street."""
        at, name = self.country.house(), self.luck.choice(COMMON)
        yield self.person(house, at, name=name)
        yield self.person(house, replace(at, number=at.number + self.luck.randint(1, 9)), name=name)

    def _mobile_network(self, house: str) -> Iterator[Purchase]:
        """Strangers behind one address of a carrier, all in the same minutes."""
        network = self.country.mobile_network()
        for _ in range(self.luck.randint(10, 60)):
            yield self.person(house, self.country.house(), network=network)
