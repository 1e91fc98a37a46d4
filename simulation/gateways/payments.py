"""The things that simulated gateways keep: ways to pay, payments, money that came, refunds, calls and answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from simulation.gateways.faults import Operation

# The secret key that calls carry, and the token that webhooks carry where the gateway has one.
MADE_UP_KEYS = {
    "midtrans": ("SB-Mid-server-made-up-key-01", ""),
    "xendit": ("xnd_production_made-up-key-01", "made-up-callback-token-01"),
}


class Method(NamedTuple):
    """A way to pay, as the gateway publishes it. Without `life_max`, the shop cannot set how long it may be paid.

    `window` is how long after the payment a refund is taken, `window_off_us` the same if the buyer's app is not the
    acquirer's own. `prefix` begins its account numbers. `reverses`: the bank may take the money back after settlement.
    """

    name: str
    kind: str
    amount_min: int
    amount_max: int
    life: timedelta
    life_min: timedelta = timedelta(0)
    life_max: timedelta | None = None
    refund: bool = False
    partial: bool = False
    window: timedelta | None = None
    window_off_us: timedelta | None = None
    reverses: bool = False
    prefix: str = ""
    bank: str = ""


class Code(NamedTuple):
    """What a buyer can pay with: a QR string, an account number or an address."""

    kind: str
    value: str


class Pay(NamedTuple):
    """How a buyer pays; see `GatewayControl.pay`. Without `amount`, the amount that the code asks for."""

    code: str = ""
    amount: int | None = None
    force: bool = False
    hidden: bool = False
    issuer: str = ""
    card: str = ""
    method: str = ""
    account: str = ""


class Arrival(NamedTuple):
    """Money that came. `hidden` money is not shown by the API. `account` is the payer's, if the wallet tells it."""

    id: str
    amount: int
    at: datetime
    hidden: bool
    issuer: str
    account: str = ""


@dataclass
class Refund:
    """Money that the shop sends back. `state` is a word of the gateway; `first_try` is when its key was first used."""

    id: str
    key: str
    amount: int
    reason: str
    state: str
    created: datetime
    first_try: datetime
    updated: datetime
    why: str = ""


@dataclass
class Payment:
    """One payment that a shop asked for. `state` is a word of the gateway."""

    id: str
    reference: str
    method: Method
    amount: int
    created: datetime
    expires: datetime
    state: str
    codes: list[Code] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> list[Arrival]:
        """The money that the API shows."""
        return [arrival for arrival in self.arrivals if not arrival.hidden]

    @property
    def received(self) -> int:
        """The sum of the money that the API shows."""
        return sum(arrival.amount for arrival in self.shown)

    def returned(self, *states: str) -> int:
        """The sum of the refunds in these states."""
        return sum(refund.amount for refund in self.refunds if refund.state in states)

    def refund_of(self, key: str) -> Refund | None:
        """The refund of a key."""
        return next((refund for refund in self.refunds if refund.key == key), None)


class Answer(NamedTuple):
    """An answer of the API: JSON, or a text for people."""

    status: int
    body: dict[str, Any] | str
    headers: Mapping[str, str] = {}


class Call(NamedTuple):
    """A call of the API, read. `id` is the part of the path that names a payment or refund. Header names are lower."""

    id: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    address: str


class Route(NamedTuple):
    """One endpoint. A public one needs no key."""

    verb: str
    path: str
    operation: Operation
    handle: Callable[[Call], Answer]
    public: bool = False


class Refused(ValueError):
    """A buyer's bank or wallet refuses. The text says why."""
