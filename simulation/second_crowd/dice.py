"""The random draws of one sale of the second crowd, and its counter of ids."""

import math
import random
import string
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import IPv6Address

DIGITS, LETTERS = string.digits, string.ascii_lowercase


class Dice:
    """Random draws for one sale. Their order decides the sale: one draw more changes everything after it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._ids = 0

    def next_id(self, prefix: str) -> str:
        """A new id, such as that of a household. It needs no random draw."""
        self._ids += 1
        return f"{prefix}{self._ids}"

    def chance(self, share: float) -> bool:
        """True in this share of the calls."""
        return self.rng.random() < share

    def by_weight(self, weights: Mapping[str, float]) -> str:
        """One of the names, each with the probability of its weight."""
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def one(self, *texts: str) -> str:
        """One of the texts, each as likely as the others."""
        return self.rng.choice(texts)

    def digits(self, low: int, high: int) -> str:
        """The digits of a whole number, bounds included."""
        return str(self.rng.randint(low, high))

    def around(self, median: float, sigma: float) -> float:
        """A log-normal number."""
        return median * math.exp(self.rng.gauss(0, sigma))

    def letters(self, length: int, digits: float = 0.25) -> str:
        """A letter, then letters among which this share are digits."""
        rest = (self.rng.choice(DIGITS if self.chance(digits) else LETTERS) for _ in range(length - 1))
        return self.rng.choice(LETTERS) + "".join(rest)

    def device(self) -> str:
        """A new fingerprint of a device."""
        return f"d{self.rng.getrandbits(48):012x}"

    def network(self) -> str:
        """A new address of a network."""
        token = f"n{self.rng.getrandbits(48):012x}"
        return str(IPv6Address(bytes((0x24, 0x04)) + sha256(token.encode()).digest()[:6] + bytes(8)))
