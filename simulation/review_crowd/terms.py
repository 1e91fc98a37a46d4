"""The terms of a simulated sale by its seed, and the times at which people come to it."""

import math
import random
from bisect import bisect_right

from simulation.review_crowd.orders import Model, Terms
from simulation.review_crowd.places import CITIES

LOBBY_MS = 30 * 60_000
CLAIM_WINDOW_MS = 180_000
CHANNELS = ("lazada", "akulaku", "mi.com", "mi-store")


def terms_of(seed: int, *, orders: int) -> Terms:
    """The terms of one sale. Sales differ in everything that a rule could be fitted to."""
    rng = random.Random(f"terms {seed}")
    hot = rng.random() < 0.65
    models = _models(rng)
    shares = [weight * rng.uniform(0.4, 1.8) for weight in (0.45, 0.15, 0.25, 0.15)]
    return Terms(
        orders=orders,
        limit=rng.choices((1, 2, 3), (50, 32, 18))[0],
        models=models,
        model_weights=tuple(rng.uniform(0.3, 1.0) for _ in models),
        channels=dict(zip(CHANNELS, shares, strict=True)),
        # A small partner that sends neither device nor network, in four sales of ten.
        blind_channel=rng.choice(("akulaku", "mi-store")) if rng.random() < 0.4 else "",
        opened_ms=LOBBY_MS,
        sold_in_ms=rng.randint(60, 420) * 1000 if hot else rng.randint(15, 45) * 60_000,
        demand=math.exp(rng.uniform(math.log(2), math.log(16))) if hot else rng.uniform(1.15, 1.8),
        # Of a hot sale everything is promised to people who stood in the lobby.
        latecomers=0.0 if hot else rng.uniform(0.3, 0.7),
        payday=rng.random() < 0.4,
        # 3 to 30 of a hundred orders; small shares are as likely as large ones are rare.
        ring_share=math.exp(rng.uniform(math.log(0.03), math.log(0.30))),
        care=rng.uniform(0.1, 0.6),
        city_weights=tuple(weight * math.exp(rng.gauss(0, 0.45)) for _, weight, _, _ in CITIES),
    )


def _models(rng: random.Random) -> tuple[Model, ...]:
    base = rng.choice((1_299_000, 1_799_000, 2_499_000, 3_999_000, 6_499_000))
    memory = [("4-64", 0), ("6-128", 500_000), ("8-256", 1_100_000)][: rng.randint(1, 3)]
    colours = ["BLACK", "BLUE", "YELLOW"][: rng.randint(1, 3)]
    made = [Model(f"M3-{size}-{colour}", base + more) for size, more in memory for colour in colours]
    return tuple(made) if len(made) > 1 else (*made, Model("M3-6-128-BLUE", base + 500_000))


class Arrivals:
    """The times at which honest people enter, in milliseconds from the opening (negative in the lobby).

    Most people come in the last minutes before the opening, some set an alarm for the beginning of the lobby, and in a
    slow sale many come later.
    """

    def __init__(self, rng: random.Random, terms: Terms) -> None:
        self._rng, self._terms = rng, terms
        self._mean_ms = rng.uniform(4, 9) * 60_000
        known = random.Random(rng.getrandbits(32))
        self._sample = sorted(self._draw(known) for _ in range(4000))

    def _draw(self, rng: random.Random) -> int:
        if rng.random() < self._terms.latecomers:
            return self._below(rng, self._terms.sold_in_ms / 2.2, self._terms.sold_in_ms)
        if rng.random() < 0.18:
            return -rng.randint(1000, LOBBY_MS - 1000)
        return -1 - self._below(rng, self._mean_ms, LOBBY_MS - 1000)

    @staticmethod
    def _below(rng: random.Random, mean_ms: float, most_ms: int) -> int:
        while (found := int(rng.expovariate(1 / mean_ms))) > most_ms:
            continue
        return found

    def one(self) -> int:
        """The time of a person who comes alone."""
        return self._draw(self._rng)

    def share_before(self, moment: int) -> float:
        """The share of all people who entered before a time, 0 to 1."""
        at = bisect_right(self._sample, moment)
        if at in (0, len(self._sample)):
            return at / len(self._sample)
        low, high = self._sample[at - 1], self._sample[at]
        return (at + (moment - low) / max(1, high - low)) / len(self._sample)

    def near(self, moment: int, spread_s: float) -> int:
        """A time close to another one: half of the people are within `spread_s` seconds of it."""
        away = self._rng.choice((-1, 1)) * self._rng.expovariate(math.log(2) / spread_s)
        return self.inside(moment + int(away * 1000))

    def after(self, moment: int, median_s: float) -> int:
        """A time after a message in a group: half of the people react within `median_s` seconds."""
        return self.inside(moment + int(self._rng.lognormvariate(math.log(median_s), 0.9) * 1000))

    def inside(self, moment: int) -> int:
        """The time, moved into the lobby or the sale. A hot sale is over soon after its opening."""
        last = self._terms.sold_in_ms if self._terms.latecomers else -1
        if moment > last:  # who would be too late hurries, so that people do not pile up at the bound
            moment = last - min(moment - last, self._rng.randint(0, 180_000))
        first = 1000 - LOBBY_MS
        return moment if moment >= first else first + self._rng.randint(0, 60_000)

    def lobby(self) -> int:
        """A time in the lobby."""
        while (moment := self._draw(self._rng)) >= 0:
            continue
        return moment


def reaction_ms(rng: random.Random, *, median_s: float = 14.0, sigma: float = 0.85) -> int:
    """How long a person takes to reserve after being called: at least 1.6 s, at most the claim window."""
    seconds = rng.lognormvariate(math.log(median_s), sigma)
    return int(min(max(seconds, 1.6) * 1000, CLAIM_WINDOW_MS - 500))


def paying_ms(rng: random.Random, *, median_s: float, sigma: float = 0.6) -> int:
    """How long a person takes to pay: at least 3 s, at most a quarter of an hour."""
    seconds = rng.lognormvariate(math.log(median_s), sigma)
    return int(min(max(seconds, 3.0), 880.0) * 1000)
