"""The terms of a sale of the second crowd: its pace, its models and its channels."""

from dataclasses import dataclass

from simulation.second_crowd.dice import Dice

MINUTE = 60_000
METHODS = ("card", "wallet", "va", "qris", "credit", "shop")
# How often people of a channel choose each method.
_HABITS = {
    "own": (0.2, 0.28, 0.36, 0.16, 0, 0),
    "market": (0.09, 0.45, 0.34, 0.12, 0, 0),
    "credit": (0, 0.05, 0.3, 0, 0.65, 0),
    "shop": (0, 0, 0, 0, 0, 1),
}
_CHANNELS = (  # code, kind, popularity
    ("lazada", "market", 1.0), ("shopee", "market", 1.3), ("tokopedia", "market", 1.1), ("blibli", "market", 0.4),
    ("akulaku", "credit", 0.45), ("mi.com", "own", 0.6), ("mi-store", "shop", 0.12), ("erafone", "shop", 0.1),
    ("jd.id", "market", 0.35),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Channel:
    """What a channel sends about its orders. `kind` is own, market, credit or shop.

    With `adds_area`, the channel adds the area from its lists to each address. `phone_form` is the one spelling of
    phones that a partner sends, or empty.
    """

    code: str
    kind: str
    weight: float
    sends_device: bool
    sends_payment: bool
    sends_network: bool
    adds_area: bool
    phone_form: str
    methods: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """How a sale differs from others. Times are milliseconds from the opening of the lobby.

    A sale is `scarce` when the stock does not suffice for the cohort. `called` is the share of the cohort that is
    called. `done` is the share of called honest people who reserve and pay. `late` is the share of people who enter
    after the opening. `early` is the share who enter at any time of the lobby, `ramp_ms` is the mean of those who come
    shortly before the opening, and `push_ms` are the times of messages that remind people.
    """

    seed: int
    orders: int
    limit: int
    opened_ms: float
    ring_share: float
    scarce: bool
    called: float
    done: float
    late: float
    early: float
    ramp_ms: float
    push_ms: tuple[float, ...]
    late_mean_ms: float
    sold_in_ms: float
    reaction_s: float
    pay_factor: float
    skus: tuple[str, ...]
    sku_weights: tuple[float, ...]
    ring_sku: str
    channels: dict[str, Channel]
    ring_channel: str

    @property
    def last_ms(self) -> float:
        """The time until which the line is served."""
        return self.opened_ms + self.sold_in_ms


def terms_of(dice: Dice, *, seed: int, orders: int) -> Terms:
    """The terms of one sale."""
    rng = dice.rng
    limit = rng.choices((1, 2, 3), (0.5, 0.32, 0.18))[0]
    opened = rng.uniform(8, 13) * MINUTE
    ring_share = rng.uniform(0.10, 0.25)
    scarce = dice.chance(0.45)
    called = rng.uniform(0.35, 0.85) if scarce else 1.0
    done = rng.uniform(0.5, 0.75)
    late = 0 if scarce else rng.uniform(0.05, 0.35)
    early, ramp = rng.uniform(0.2, 0.45), rng.uniform(60, 200) * 1000
    push = (5, 1) if dice.chance(0.5) else (rng.uniform(2, 6),)
    late_mean, sold_in = rng.uniform(60, 500) * 1000, rng.uniform(4, 35) * MINUTE
    reaction, pay = rng.uniform(5, 9), rng.uniform(0.8, 1.3)
    skus, weights = _models(dice)
    # The model that brings the most profit at resale.
    ring_sku = skus[0] if dice.chance(0.7) else rng.choice(skus)
    channels = _channels(dice)
    return Terms(
        seed=seed,
        orders=orders,
        limit=limit,
        opened_ms=opened,
        ring_share=ring_share,
        scarce=scarce,
        called=called,
        done=done,
        late=late,
        early=early,
        ramp_ms=ramp,
        push_ms=tuple(opened - minutes * MINUTE for minutes in push),
        late_mean_ms=late_mean,
        sold_in_ms=sold_in,
        reaction_s=reaction,
        pay_factor=pay,
        skus=skus,
        sku_weights=weights,
        ring_sku=ring_sku,
        channels=channels,
        ring_channel=rng.choice([code for code, channel in channels.items() if channel.kind != "shop"]),
    )


def _models(dice: Dice) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Two to six models in the order of their shares, the hot one first."""
    rng = dice.rng
    count = rng.choices((2, 3, 4, 5, 6), (0.35, 0.25, 0.2, 0.1, 0.1))[0]
    base = dice.one("POCO-M3", "REDMI-9", "NOTE-X", "GALAXY-A")
    sizes = ["4-64", "6-128", "4-128", "6-64", "8-128", "8-256"][:count]
    if count < 5 or dice.chance(0.5):
        names = [f"{base}-{size}" for size in sizes]
    else:
        names = [f"{base}-{size}-{colour}" for size in sizes[:3] for colour in ("BLK", "YEL")][:count]
    rng.shuffle(names)
    weights = sorted((1 / at ** rng.uniform(0.6, 1.5) for at in range(1, count + 1)), reverse=True)
    return tuple(names), tuple(weights)


def _channels(dice: Dice) -> dict[str, Channel]:
    """The own page, one to four marketplaces, and mostly a shop."""
    rng = dice.rng
    count = rng.choice((3, 4, 4, 5, 5, 6))
    own = [row for row in _CHANNELS if row[1] == "own"]
    markets = [row for row in _CHANNELS if row[1] in ("market", "credit")]
    shops = [row for row in _CHANNELS if row[1] == "shop"]
    rows = own + rng.sample(markets, max(2, count - 2))
    if count > 3:
        rows.append(rng.choice(shops))
    return {code: _channel(dice, code, kind, popularity) for code, kind, popularity in rows}


def _channel(dice: Dice, code: str, kind: str, popularity: float) -> Channel:
    rng, market = dice.rng, kind in ("market", "credit")
    return Channel(
        code=code,
        kind=kind,
        weight=dice.around(popularity, 0.5),
        sends_device=kind == "own" or (market and rng.random() < 0.92),
        sends_payment=kind != "shop" and (not market or rng.random() < 0.96),
        sends_network=kind == "own" or (market and rng.random() < 0.75),
        adds_area=market and rng.random() < 0.75,
        phone_form=rng.choice(("", "62", "08")) if market else "",
        methods=_HABITS[kind],
    )
