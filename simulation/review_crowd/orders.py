"""What one simulated sale consists of: its terms, its orders as a review sees them, and apart from them the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ORDERS_MIN, ORDERS_MAX = 200, 100_000


def check_size(orders: int) -> None:
    """Raises ValueError for a number of orders that no crowd simulates."""
    if not ORDERS_MIN <= orders <= ORDERS_MAX:
        raise ValueError(f"a simulated sale has {ORDERS_MIN} to {ORDERS_MAX:,} orders, not {orders}")


@dataclass(frozen=True, slots=True)
class Model:
    """One model on sale: its SKU and its price in rupiah."""

    sku: str
    price: int


@dataclass(frozen=True, slots=True)
class Terms:
    """How one sale differs from others. Times are in milliseconds, counted from the opening of the lobby.

    `demand` is the number of people who enter for each order. `sold_in_ms` is the time from the opening until the last
    unit is promised. `latecomers` is the share of buyers who enter after the opening.
    """

    orders: int
    limit: int
    models: tuple[Model, ...]
    model_weights: tuple[float, ...]
    channels: Mapping[str, float]
    blind_channel: str
    opened_ms: int
    sold_in_ms: int
    demand: float
    latecomers: float
    payday: bool
    ring_share: float
    care: float
    city_weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SimulatedOrder:
    """A paid order with everything that a review may read. Times are milliseconds from the opening of the lobby.

    `name`, `address`, `phone` and `email` are as the person typed them. `device`, `payment` and `network` are None
    when the sale does not learn them: some partners send no device and no network, and a bank transfer or a payment in
    a shop leaves no fingerprint of the payer.
    """

    id: str
    index: int
    number: int
    channel: str
    sku: str
    quantity: int
    name: str
    address: str
    phone: str
    email: str
    device: str | None
    payment: str | None
    network: str | None
    entered_ms: int
    called_ms: int
    reserved_ms: int
    paid_ms: int


@dataclass(frozen=True, slots=True)
class Truth:
    """Who placed an order. `ring` is empty for honest people. `household` is empty for rings.

    Honest people who live behind one door and share their money are one household. Each person of a boarding house, an
    office or a campus is a household of their own.
    """

    kind: str
    ring: str = ""
    household: str = ""


@dataclass(frozen=True, slots=True)
class SimulatedSale:
    """One sale with its limit of units for one buyer. `truth` has an entry for each order's id; no order shows it."""

    seed: int
    limit: int
    orders: Sequence[SimulatedOrder]
    truth: Mapping[str, Truth]


@dataclass(slots=True)
class Draft:
    """An order before the line gives it an index, a number and times.

    `entered_ms` counts from the opening and is negative in the lobby. `reaction_ms` is the time from being called to
    reserving, `paying_ms` from reserving to paying.
    """

    truth: Truth
    name: str
    address: str
    phone: str
    email: str
    device: str | None
    payment: str | None
    network: str | None
    channel: str
    sku: str
    quantity: int
    entered_ms: int
    reaction_ms: int
    paying_ms: int
