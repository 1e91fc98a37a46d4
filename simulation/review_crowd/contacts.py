"""Phone numbers, devices, payments and networks of simulated people.

Networks are the part that is easiest to read wrongly: carriers put thousands of phones behind one public address, a
provider of home internet gives one block of addresses to a whole quarter, and an office or a campus has one address.
"""

import random
from dataclasses import dataclass

from simulation.review_crowd.places import REGIONS

# Carrier, share of the numbers, prefixes.
CARRIERS = (
    ("telkomsel", 0.46, ("0811", "0812", "0813", "0821", "0822", "0823", "0852", "0853", "0851")),
    ("indosat", 0.20, ("0814", "0815", "0816", "0855", "0856", "0857", "0858")),
    ("xl", 0.16, ("0817", "0818", "0819", "0859", "0877", "0878")),
    ("tri", 0.11, ("0895", "0896", "0897", "0898", "0899")),
    ("smartfren", 0.07, ("0881", "0882", "0883", "0887", "0888", "0889")),
)
# Way of paying, share of the orders, whether the provider tells the payer apart, median time to pay in seconds.
PAYMENTS = (
    ("wallet", 0.42, True, 32), ("card", 0.15, True, 55), ("paylater", 0.08, True, 45), ("transfer", 0.25, False, 110),
    ("counter", 0.10, False, 420),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Payment:
    """What the sale learns of a payer, and how long this way of paying takes at the median."""

    fingerprint: str | None
    median_s: int


@dataclass(frozen=True, slots=True)
class NetworkMap:
    """The blocks of addresses of this sale's country: what looks alike for people who do not know each other."""

    mobile: dict[tuple[str, int], list[str]]
    homes_per_block: int
    tunnels: list[str]


class ContactFactory:
    """Makes phone numbers, devices, payments and networks. Sizes follow from the number of orders of the sale."""

    def __init__(self, rng: random.Random, *, orders: int) -> None:
        self._rng = rng
        self._phones: set[str] = set()
        self._blocks: set[str] = set()
        self._home: dict[tuple[int, str], list[str]] = {}
        blocks = rng.randint(6, 26)
        mobile = {
            (carrier, region): [self._block("mobile") for _ in range(max(2, round(blocks * share * 3)))]
            for carrier, share, _ in CARRIERS
            for region in range(REGIONS)
        }
        tunnels = [self._block("rented") for _ in range(max(3, orders // 2500))]
        self.map = NetworkMap(mobile, rng.randint(2, 6), tunnels)

    # --- phones
    def carrier(self) -> str:
        """A carrier, by its share."""
        return self._rng.choices([name for name, _, _ in CARRIERS], [share for _, share, _ in CARRIERS])[0]

    def phone(self, carrier: str = "") -> str:
        """A number that no other person of the sale has, in digits with a leading zero."""
        rng, name = self._rng, carrier or self.carrier()
        prefixes = next(prefixes for known, _, prefixes in CARRIERS if known == name)
        while True:
            length = rng.choices((7, 8), (35, 65))[0]
            number = f"{rng.choice(prefixes)}{rng.randint(10 ** (length - 1), 10**length - 1)}"
            if self._take(number):
                return number

    def _take(self, number: str) -> bool:
        if number in self._phones:
            return False
        self._phones.add(number)
        return True

    def phones_in_a_row(self, count: int, *, step: int) -> list[str]:
        """Numbers of one box of prepaid cards: each is 1 to `step` above the one before."""
        while True:
            number, found = self.phone(), []
            for _ in range(count):
                number = f"0{int(number) + self._rng.randint(1, step)}"
                found.append(number)
            if all(self._take(one) for one in found):
                return found

    def typed_phone(self, number: str) -> str:
        """The number as a person types it."""
        rng, chance = self._rng, self._rng.random()
        if chance < 0.62:
            return number
        if chance < 0.80:
            return f"+62{number[1:]}"
        if chance < 0.88:
            return f"62{number[1:]}"
        separator = rng.choice(("-", " "))
        return f"{number[:4]}{separator}{number[4:8]}{separator}{number[8:]}"

    # --- devices and payments
    def token(self) -> str:
        """An opaque value, such as a device's or a payment's fingerprint."""
        return f"{self._rng.getrandbits(64):016x}"

    def payment(self, *, known: bool = False) -> Payment:
        """A payment of one person. `known` means that the provider tells the payer apart."""
        ways = [way for way in PAYMENTS if way[2] or not known]
        _, _, told, median = self._rng.choices(ways, [way[1] for way in ways])[0]
        return Payment(self.token() if told else None, median)

    # --- networks
    def _block(self, kind: str) -> str:
        """The first three numbers of a block of 256 addresses."""
        rng = self._rng
        first = {"mobile": (112, 114, 182, 120), "rented": (103, 45, 139), "home": (36, 180, 125, 110)}[kind]
        while True:
            block = f"{rng.choice(first)}.{rng.randint(1, 254)}.{rng.randint(0, 255)}"
            if block not in self._blocks:
                self._blocks.add(block)
                return block

    def _in(self, block: str) -> str:
        return f"{block}.{self._rng.randint(1, 254)}"

    def mobile_network(self, region: int, carrier: str = "") -> str:
        """The address of a phone on its carrier's network. One phone in nine has an IPv6 network of its own."""
        rng = self._rng
        if rng.random() < 0.11:
            return f"2404:c0:{rng.getrandbits(16):x}:{rng.getrandbits(16):x}::{rng.randint(1, 9)}"
        return self._in(rng.choice(self.map.mobile[carrier or self.carrier(), region]))

    def home_network(self, city: int, quarter: str) -> str:
        """The address of a home. The homes of a quarter share blocks: a new block comes after a few homes."""
        blocks = self._home.setdefault((city, quarter), [])
        if not blocks or self._rng.random() < 1 / self.map.homes_per_block:
            blocks.append(self._block("home"))
        return self._in(self._rng.choice(blocks[-4:]))

    def site_network(self) -> str:
        """The one address of an office, a campus or a café."""
        return self._in(self._block("home"))

    def rented_block(self) -> str:
        """A block of rented servers that nothing else in the sale uses, without its last number."""
        return self._block("rented")

    def tunnel(self) -> str:
        """The exit of a public VPN, which strangers share."""
        return self._in(self._rng.choice(self.map.tunnels))

    def inside(self, block: str) -> str:
        """An address in a block of three numbers."""
        return self._in(block)
