"""The kinds of rings of the second crowd. Each ring draws its methods at random from the methods of its kind."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

Weights = Mapping[str, float]
# How many doors a ring has, by its orders.
Doors = Callable[[random.Random, int], int]


@dataclass(frozen=True, slots=True)
class Ways:
    """What rings of one kind do, each with its weight. Dicts are drawn in the order of these fields.

    `size` is the median number of orders, its spread, and its bounds. `sku`, `channel` and `quantity` bound the shares
    of orders that take the ring's model, the ring's channel, and as many units as the limit allows.
    """

    text: Weights
    names: Weights
    sims: Weights
    mails: Weights
    devices: Weights
    payers: Weights
    networks: Weights
    entry: Weights
    pace: Weights
    sku: tuple[float, float]
    channel: tuple[float, float]
    quantity: tuple[float, float]
    size: tuple[float, float, int, int]
    doors: Doors


def _doors(*counts: int) -> Doors:
    return lambda rng, _: rng.choice(counts)


def _doors_by_size(low: float, high: float, *, least: int, most: int = 1000) -> Doors:
    """Between `low` and `high` orders for each door."""
    return lambda rng, size: max(least, min(most, round(size / rng.uniform(low, high))))


def _doors_of_small(rng: random.Random, size: int) -> int:
    """Mostly one door. Some dropshippers send every parcel straight to its customer."""
    return rng.choices((1, 2, 3, size), (0.58, 0.17, 0.07, 0.18))[0]


ONE_DOOR = Ways(
    text={"template": 0.25, "variants": 0.35, "suffix": 0.22, "wrong number": 0.18},
    names={"relatives": 0.3, "cards": 0.3, "invented": 0.25, "boss": 0.15},
    sims={"row": 0.18, "carton": 0.14, "codes": 0.36, "own": 0.32},
    mails={
        "real": 0.2, "pattern": 0.24, "random": 0.14, "counted": 0.07, "bought": 0.2, "domain": 0.09, "tags": 0.03,
        "throwaway": 0.03,
    },
    devices={"few": 0.2, "phones": 0.4, "own": 0.4},
    payers={"few": 0.34, "va": 0.36, "own": 0.2, "mix": 0.1},
    networks={"home": 0.42, "mobile": 0.4, "vpn": 0.06, "proxy": 0.12},
    entry={"script": 0.22, "manual": 0.5, "spread": 0.16, "signal": 0.12},
    pace={"bot": 0.22, "crew": 0.68, "human": 0.10},
    sku=(0.78, 0.98),
    channel=(0.6, 0.98),
    quantity=(0.85, 1.0),
    size=(14, 0.65, 8, 60),
    doors=lambda _, __: 1,
)  # fmt: skip
KINDS = {
    "one_door": ONE_DOOR,
    "several_doors": replace(ONE_DOOR, size=(24, 0.8, 8, 150), doors=_doors_by_size(3.5, 9, least=2, most=14)),
    "small": replace(
        ONE_DOOR,
        size=(4.3, 0.33, 3, 7),
        names={"relatives": 0.75, "boss": 0.15, "invented": 0.1},
        sims={"own": 0.62, "codes": 0.18, "carton": 0.1, "row": 0.1},
        mails={"real": 0.5, "pattern": 0.2, "bought": 0.1, "counted": 0.1, "random": 0.08, "tags": 0.02},
        devices={"few": 0.22, "phones": 0.38, "own": 0.4},
        payers={"few": 0.4, "va": 0.35, "mix": 0.15, "own": 0.1},
        networks={"home": 0.5, "mobile": 0.48, "vpn": 0.02},
        entry={"manual": 0.68, "signal": 0.2, "spread": 0.12},
        pace={"crew": 0.85, "human": 0.15},
        sku=(0.6, 1),
        channel=(0.5, 1),
        quantity=(0.7, 1),
        text={"template": 0.3, "variants": 0.48, "suffix": 0.14, "wrong number": 0.08},
        doors=_doors_of_small,
    ),
    "careful": replace(
        ONE_DOOR,
        size=(13, 0.5, 6, 40),
        names={"relatives": 0.55, "cards": 0.45},
        sims={"own": 0.55, "codes": 0.45},
        mails={"real": 0.4, "bought": 0.5, "pattern": 0.1},
        devices={"own": 0.85, "phones": 0.15},
        payers={"mix": 0.45, "own": 0.3, "va": 0.25},
        networks={"mobile": 0.5, "proxy": 0.25, "mixed": 0.25},
        entry={"spread": 0.5, "signal": 0.3, "manual": 0.2},
        pace={"human": 0.6, "crew": 0.4},
        sku=(0.55, 0.85),
        channel=(0.4, 0.75),
        quantity=(0.55, 0.95),
        text={"variants": 0.8, "suffix": 0.2},
        doors=_doors_by_size(1.1, 2.6, least=3),
    ),
    "staggered": replace(
        ONE_DOOR,
        size=(18, 0.6, 8, 60),
        entry={"spread": 1},
        pace={"slow": 0.8, "human": 0.2},
        devices={"own": 0.55, "phones": 0.45},
        doors=_doors(1, 1, 2, 3, 5),
    ),
    "mixed": replace(
        ONE_DOOR,
        size=(18, 0.6, 8, 60),
        sku=(0.3, 0.55),
        channel=(0.25, 0.5),
        quantity=(0.5, 0.9),
        payers={"mix": 0.7, "va": 0.3},
        doors=_doors(1, 1, 2, 3, 4),
    ),
    "hired_home": replace(
        ONE_DOOR,
        size=(20, 0.7, 6, 90),
        names={"relatives": 1},
        sims={"own": 1},
        mails={"real": 0.93, "pattern": 0.07},
        devices={"own": 1},
        payers={"own": 0.45, "va": 0.45, "few": 0.1},
        networks={"theirs": 1},
        entry={"signal": 0.85, "spread": 0.15},
        pace={"hired": 1},
        sku=(0.88, 1),
        channel=(0.8, 1),
        quantity=(0.9, 1),
        text={"people": 1},
        doors=lambda _, size: size,
    ),
    "hired_door": replace(
        ONE_DOOR,
        size=(18, 0.6, 6, 80),
        names={"relatives": 0.8, "boss": 0.2},
        sims={"own": 1},
        mails={"real": 0.95, "pattern": 0.05},
        devices={"own": 1},
        payers={"own": 0.4, "va": 0.5, "few": 0.1},
        networks={"theirs": 1},
        entry={"signal": 0.8, "spread": 0.2},
        pace={"hired": 1},
        sku=(0.85, 1),
        channel=(0.75, 1),
        quantity=(0.9, 1),
        text={"template": 0.5, "people": 0.5},
        doors=_doors(1, 1, 1, 2, 3, 4),
    ),
    "kost_ring": replace(
        ONE_DOOR,
        size=(12, 0.5, 5, 30),
        text={"rooms": 1},
        networks={"home": 0.65, "mobile": 0.35},
        names={"relatives": 0.4, "cards": 0.35, "invented": 0.25},
    ),
    "pickup_ring": replace(
        ONE_DOOR,
        size=(16, 0.6, 5, 50),
        text={"desk": 1},
        names={"relatives": 0.35, "cards": 0.35, "invented": 0.2, "boss": 0.1},
    ),
    "office_ring": replace(
        ONE_DOOR,
        size=(14, 0.5, 6, 40),
        text={"rooms": 1},
        networks={"home": 0.75, "mobile": 0.25},
        names={"relatives": 0.7, "cards": 0.3},
        sims={"own": 0.6, "row": 0.25, "codes": 0.15},
        payers={"few": 0.4, "va": 0.4, "own": 0.2},
    ),
    "serial_sims": replace(
        ONE_DOOR, size=(24, 0.6, 8, 110), sims={"row": 0.7, "carton": 0.3}, doors=_doors(1, 1, 2, 3, 5)
    ),
    "mailfarm": replace(
        ONE_DOOR,
        size=(24, 0.7, 8, 120),
        mails={"random": 0.25, "pattern": 0.25, "domain": 0.25, "throwaway": 0.08, "tags": 0.1, "counted": 0.07},
        doors=_doors(1, 2, 3, 4, 6),
    ),
    "emulator": replace(
        ONE_DOOR,
        size=(45, 0.8, 12, 300),
        devices={"few": 0.75, "own": 0.25},
        networks={"home": 0.5, "vpn": 0.25, "proxy": 0.15, "mobile": 0.1},
        entry={"script": 0.85, "spread": 0.15},
        pace={"bot": 0.9, "slow": 0.1},
        sims={"codes": 0.6, "carton": 0.2, "row": 0.2},
        names={"invented": 0.5, "cards": 0.4, "boss": 0.1},
        mails={"pattern": 0.3, "random": 0.25, "domain": 0.2, "bought": 0.2, "throwaway": 0.05},
        doors=_doors_by_size(5, 30, least=1, most=12),
    ),
}
# The share of each kind among the orders of rings. Shares vary by sale.
SHARES = {
    "one_door": 0.15, "several_doors": 0.12, "small": 0.17, "careful": 0.09, "staggered": 0.07, "mixed": 0.06,
    "hired_home": 0.07, "hired_door": 0.06, "kost_ring": 0.04, "pickup_ring": 0.05, "office_ring": 0.03,
    "serial_sims": 0.05, "mailfarm": 0.05, "emulator": 0.05,
}  # fmt: skip
