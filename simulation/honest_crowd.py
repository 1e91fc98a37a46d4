"""Honest buyers of a simulated sale, household by household. This file does not use the rules of the review."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from simulation.personal_data import COMMON, House, PersonalDataFactory

# Households of each kind in a thousand. Most are people who order alone.
HOUSEHOLDS = {
    "single": 640,
    "family": 190,
    "large family": 8,
    "gift buyer": 45,
    "helper": 25,
    "boarding house": 20,
    "campus": 4,
    "office": 18,
    "pick-up point": 8,
    "common name": 30,
    "mobile network": 12,
}


@dataclass(frozen=True, slots=True)
class Purchase:
    """One confirmed order with the truth about it: kind of people, household (`house`), and whether it is of a ring."""

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


class HouseholdFactory:
    """Makes honest purchases. `sold_in_ms` is how long the sale lasted."""

    def __init__(self, rng: random.Random, *, sold_in_ms: int) -> None:
        self.rng, self.personal_data, self._sold_in_ms = rng, PersonalDataFactory(rng), sold_in_ms
        self._made = 0
        self._make: dict[str, Callable[[str], Iterator[Purchase]]] = {
            "single": self._single,
            "family": self._family,
            "large family": self._large_family,
            "gift buyer": self._gifts,
            "helper": self._helper,
            "boarding house": self._boarding_house,
            "campus": self._campus,
            "office": self._office,
            "pick-up point": self._pick_up_point,
            "common name": self._common_name,
            "mobile network": self._mobile_network,
        }

    def household(self) -> list[Purchase]:
        """The orders of one random household; at least one."""
        (kind,) = self.rng.choices(list(HOUSEHOLDS), list(HOUSEHOLDS.values()))
        self._made += 1
        return list(self._make[kind](f"{kind} {self._made}"))

    def person(self, house: str, at: House, *, room: str = "", name: str = "", network: str = "") -> Purchase:
        """The purchase of a person whose data is their own, except for the arguments."""
        personal_data, rng = self.personal_data, self.rng
        name = name or personal_data.name()
        reserved = rng.randrange(self._sold_in_ms)
        # One in ten people pays by one tap in an app. The others type or scan, which takes longer.
        took_s = rng.lognormvariate(2.0, 0.6) if rng.random() < 0.1 else rng.lognormvariate(3.8, 0.8)
        email = personal_data.mail(name)
        if rng.random() < 0.004:
            email = f"{email.partition('@')[0]}@{rng.choice(('mailinator.com', 'yopmail.com', 'guerrillamail.com'))}"
        return Purchase(
            kind=house.rpartition(" ")[0],
            house=house,
            ring=False,
            name=name,
            address=personal_data.format_address(at, room=room),
            phone=personal_data.phone(),
            email=email,
            device=personal_data.token(),
            card=personal_data.token(),
            network=network or (personal_data.mobile_network() if rng.random() < 0.6 else personal_data.home_network()),
            reserved_ms=reserved,
            paid_ms=reserved + round(took_s * 1000),
        )

    def _single(self, house: str) -> Iterator[Purchase]:
        yield self.person(house, self.personal_data.house())

    def _family(self, house: str, sizes: tuple[int, ...] = (2, 2, 2, 2, 2, 2, 3, 3, 4)) -> Iterator[Purchase]:
        rng, at, home = self.rng, self.personal_data.house(), self.personal_data.home_network()
        surname = self.personal_data.name().split()[-1]
        card, tablet = self.personal_data.token(), self.personal_data.token()
        for _ in range(rng.choice(sizes)):
            name = f"{self.personal_data.name().split()[0]} {surname}" if rng.random() < 0.5 else ""
            buyer = self.person(house, at, name=name, network=home if rng.random() < 0.6 else "")
            buyer = replace(buyer, card=card) if rng.random() < 0.45 else buyer
            yield replace(buyer, device=tablet) if rng.random() < 0.2 else buyer

    def _large_family(self, house: str) -> Iterator[Purchase]:
        yield from self._family(house, (5, 5, 6, 7))

    def _gifts(self, house: str) -> Iterator[Purchase]:
        """One person pays. Relatives elsewhere receive the goods under their own names and phones."""
        giver = self.person(house, self.personal_data.house())
        yield giver
        for _ in range(self.rng.choice((1, 1, 1, 1, 2, 2, 3))):
            other = self.person(house, self.personal_data.house(), network=giver.network)
            yield replace(other, card=giver.card, device=giver.device if self.rng.random() < 0.6 else other.device)

    def _helper(self, house: str) -> Iterator[Purchase]:
        """A helper orders for people who cannot do it themselves. Those people pay for themselves."""
        helper = self.person(house, self.personal_data.house())
        yield helper
        for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3))):
            yield replace(self.person(house, self.personal_data.house(), network=helper.network), device=helper.device)

    def _boarding_house(self, house: str) -> Iterator[Purchase]:
        rng, at, wifi = self.rng, self.personal_data.house(), self.personal_data.home_network()
        for room in range(1, 1 + min(20, max(2, round(rng.lognormvariate(1.6, 0.6))))):
            one = self.person(house, at, room=f"kamar {room}", network=wifi if rng.random() < 0.6 else "")
            yield one
            if rng.random() < 0.08:  # a couple on one card or one phone
                two = self.person(house, at, room=f"kamar {room}", network=one.network)
                yield replace(two, card=one.card) if rng.random() < 0.5 else replace(two, device=one.device)

    def _campus(self, house: str) -> Iterator[Purchase]:
        rng, at, wifi = self.rng, self.personal_data.house(), self.personal_data.home_network()
        for _ in range(rng.randint(6, 40)):
            buyer = self.person(house, at, room=f"lt {rng.randint(1, 4)} kamar {rng.randint(1, 40)}", network=wifi)
            local = f"{buyer.name.lower().replace(' ', '.')}{rng.randint(19, 23)}{rng.randint(100, 999)}"
            yield replace(buyer, email=f"{local}@student.kampus{at.rw}.ac.id") if rng.random() < 0.5 else buyer

    def _office(self, house: str) -> Iterator[Purchase]:
        """Parcels go to the office. Some firms give out phones with numbers in a row; some colleagues pay for two."""
        rng, at, wifi = self.rng, self.personal_data.house(), self.personal_data.home_network()
        firm, first = f"pt{self.personal_data.token()[:5]}.co.id", rng.randrange(10**7, 9 * 10**7)
        in_a_row = rng.random() < 0.1
        card = self.personal_data.token()
        for at_desk in range(rng.randint(3, 25)):
            buyer = self.person(house, at, room=rng.choice(("", "lt 3", "unit 12")), network=wifi)
            if rng.random() < 0.4:
                number = at_desk if rng.random() < 0.1 else ""
                buyer = replace(buyer, email=f"{buyer.name.lower().replace(' ', '.')}{number}@{firm}")
            if in_a_row and rng.random() < 0.7:
                buyer = replace(buyer, phone=f"0811{first + at_desk}")
            yield replace(buyer, card=card) if rng.random() < 0.06 else buyer

    def _pick_up_point(self, house: str) -> Iterator[Purchase]:
        at = self.personal_data.house()
        for _ in range(self.rng.randint(3, 40)):
            yield self.person(house, at, room=self.rng.choice(("", "titip agen", "loker")))

    def _common_name(self, house: str) -> Iterator[Purchase]:
        """Two people with the same name who live in the same street, some houses apart."""
        at, name = self.personal_data.house(), self.rng.choice(COMMON)
        yield self.person(house, at, name=name)
        yield self.person(house, replace(at, number=at.number + self.rng.randint(1, 9)), name=name)

    def _mobile_network(self, house: str) -> Iterator[Purchase]:
        """Strangers behind one IP address of a mobile carrier."""
        network = self.personal_data.mobile_network()
        for _ in range(self.rng.randint(10, 60)):
            yield self.person(house, self.personal_data.house(), network=network)
