"""Reseller rings of a simulated sale: one buyer behind many identities, from careless rings to careful ones.

Every order has its own phone and mailbox, because otherwise the limit would have refused it. This file does not use
the rules of the review. A ring that shares nothing at all looks like strangers, so none is simulated.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from simulation.honest_crowd import HouseholdFactory, Purchase
from simulation.personal_data import House

# Rings of each kind in a hundred.
RINGS = {
    "careless": 25,
    "plus-addresses": 10,
    "jigged address": 20,
    "device farm": 15,
    "shared cards": 12,
    "hired people": 8,
    "careful": 10,
}
SIZE_MIN, SIZE_MAX = 3, 60
_TO = ("ATN", "UP", "C/O", "TOKO", "Bpk", "Ibu", "Gudang", "Ruko")
_BEHIND = ("kamar {}", "lt {}", "unit {}", "pintu {}")


class RingFactory:
    """Makes the orders of random rings."""

    def __init__(self, rng: random.Random, people: HouseholdFactory) -> None:
        self.rng, self._people = rng, people
        self._made = 0

    def ring(self) -> list[Purchase]:
        """The orders of one random ring; 3 to 60."""
        (kind,) = self.rng.choices(list(RINGS), list(RINGS.values()))
        self._made += 1
        size = min(SIZE_MAX, max(SIZE_MIN, round(self.rng.lognormvariate(2.6, 0.7))))
        members = [replace(one, kind=kind, ring=True) for one in self._strangers(f"{kind} {self._made}", size)]
        change = {
            "careless": self._careless,
            "plus-addresses": self._plus_addresses,
            "jigged address": self._jigged,
            "device farm": self._device_farm,
            "shared cards": self._shared_cards,
            "hired people": self._hired,
            "careful": self._careful,
        }[kind]
        return list(change(members))

    def _strangers(self, house: str, size: int) -> Iterator[Purchase]:
        for _ in range(size):
            yield self._people.person(house, self._people.personal_data.house())

    def _careless(self, members: Sequence[Purchase]) -> Iterator[Purchase]:
        """One or two addresses, few devices and cards, phones from one SIM box, numbered mailboxes, a script."""
        drops, devices, cards = self._houses(1, 2), self._tokens(1, 3), self._tokens(1, 3)
        network, box, shop = self._people.personal_data.home_network(), self._sim_box(), self._word()
        for at, one in enumerate(self._scripted(members, 0.9)):
            yield replace(
                one,
                address=self._people.personal_data.format_address(self.rng.choice(drops)),
                device=self.rng.choice(devices),
                card=self.rng.choice(cards),
                network=network,
                phone=box[at],
                email=f"{shop}{at + 1}@gmail.com",
            )

    def _plus_addresses(self, members: Sequence[Purchase]) -> Iterator[Purchase]:
        """One mailbox of the ring's own domain with many tags. Devices and cards vary."""
        drops, cards, domain = self._houses(1, 3), self._tokens(2, 6), f"{self._word()}.my.id"
        for at, one in enumerate(self._scripted(members, 0.6)):
            mail = f"order+{self._word()}{at}@{domain}" if self.rng.random() < 0.9 else f"{self._word()}@{domain}"
            yield replace(one, address=self._jig(self.rng.choice(drops)), card=self.rng.choice(cards), email=mail)

    def _jigged(self, members: Sequence[Purchase]) -> Iterator[Purchase]:
        """One warehouse, spelled differently in every order. Cards, devices and mailboxes are bought, so all differ."""
        (drop,) = self._houses(1, 1)
        box = self._sim_box() if self.rng.random() < 0.5 else []
        bot = 0.8 if self.rng.random() < 0.7 else 0.1
        for at, one in enumerate(self._scripted(members, bot)):
            other = replace(one, address=self._jig(drop))
            yield replace(other, phone=box[at]) if box else other

    def _device_farm(self, members: Sequence[Purchase]) -> Iterator[Purchase]:
        """Each order has its own device, card and proxy; but phones in rows, mailboxes by a pattern, few addresses."""
        drops, box, shop = self._houses(2, 4), self._sim_box(), self._word()
        catch_all = f"{self._word()}.com"
        for at, one in enumerate(self._scripted(members, 0.7)):
            mail = (
                f"{shop}.{self._word()}{at}@{catch_all}" if self.rng.random() < 0.5 else f"{shop}{at:03d}@{catch_all}"
            )
            yield replace(one, address=self._jig(self.rng.choice(drops)), phone=box[at], email=mail)

    def _shared_cards(self, members: Sequence[Purchase]) -> Iterator[Purchase]:
        """Everything differs except the cards."""
        cards = self._tokens(1, 3)
        for one in self._scripted(members, 0.3):
            yield replace(one, card=self.rng.choice(cards))

    def _hired(self, members: Sequence[Purchase]) -> Iterator[Purchase]:
        """Real people in their own homes. The ring pays for most of them with a few cards."""
        cards = self._tokens(1, 3)
        for one in members:
            yield replace(one, card=self.rng.choice(cards)) if self.rng.random() < 0.85 else one

    def _careful(self, members: Sequence[Purchase]) -> Iterator[Purchase]:
        """Uses each card, device and address only a few times. Phones are mixed, and it pays as slowly as a person."""
        few = max(1, len(members) // 4)
        drops, devices, cards = self._houses(few, few), self._tokens(few, few), self._tokens(few, few)
        for one in members:
            yield replace(
                one,
                address=self._jig(self.rng.choice(drops)),
                device=self.rng.choice(devices) if self.rng.random() < 0.4 else one.device,
                card=self.rng.choice(cards) if self.rng.random() < 0.4 else one.card,
            )

    def _scripted(self, members: Sequence[Purchase], share: float) -> Iterator[Purchase]:
        for one in members:
            took_ms = round(self.rng.lognormvariate(0, 0.5) * 900)
            yield replace(one, paid_ms=one.reserved_ms + took_ms) if self.rng.random() < share else one

    def _houses(self, fewest: int, most: int) -> list[House]:
        return [self._people.personal_data.house() for _ in range(self.rng.randint(fewest, most))]

    def _tokens(self, fewest: int, most: int) -> list[str]:
        return [self._people.personal_data.token() for _ in range(self.rng.randint(fewest, most))]

    def _sim_box(self) -> list[str]:
        """Phone numbers that were bought together: nearly consecutive, because some are used up already."""
        number = self.rng.randrange(10**7, 8 * 10**7)
        numbers = [number := number + self.rng.randint(1, 9) for _ in range(SIZE_MAX)]
        self.rng.shuffle(numbers)
        return [f"0857{one}" for one in numbers]

    def _word(self) -> str:
        return "".join(self.rng.choices("abcdefghijklmnoprstuwy", k=self.rng.randint(5, 8)))

    def _jig(self, house: House) -> str:
        """The same house, so that the parcel arrives, but spelled differently from other orders."""
        rng, text = self.rng, self._people.personal_data.format_address(house)
        for _ in range(rng.randint(1, 3)):
            change = rng.randrange(5)
            if change == 0:
                letters = "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=rng.randint(2, 4)))
                text = f"{rng.choice((letters, rng.choice(_TO)))} {text}"
            elif change == 1:
                text = f"{text}, {rng.choice(_BEHIND).format(rng.randint(1, 30))}"
            elif change == 2:
                text = self._people.personal_data.add_typo(text)
            elif change == 3:
                text = text.replace(f" {house.number}", f" {house.number}{rng.choice('ABCD')}", 1)
            else:
                head, comma, tail = text.partition(",")
                text = f"{tail.strip()}, {head}" if comma else text
        return text
