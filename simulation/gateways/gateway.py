"""What all simulated gateways share: payments, money that comes and goes, the pace, and the words that differ."""

import uuid
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from simulation.gateways.clock import Agenda, Clock
from simulation.gateways.faults import Faults, Operation, Rule
from simulation.gateways.ledger import Entry, Full, Ledger
from simulation.gateways.payments import Answer, Arrival, Call, Pay, Payment, Refused, Route
from simulation.gateways.webhooks import Post, Schedule, Webhook, check_address

# confirm_s: after how many seconds of its clock a bank answers about a refund.
COMMON = {"notify_url": "", "confirm_s": 60.0, "payments_max": 200_000}
PACE_WINDOW = timedelta(minutes=1)


class Gateway(ABC):
    """A simulated gateway. It keeps all in memory, within bounds, and `start_over` empties it."""

    name: ClassVar[str]
    schedule: ClassVar[Schedule]
    reference_field: ClassVar[str]
    # Its settings and their initial values; see `change`.
    defaults: ClassVar[Mapping[str, Any]]

    def __init__(self, *, key: str, token: str, retry_scale: float) -> None:
        self._given = {"key": key, "token": token}
        self._retry_scale = retry_scale
        self.clock = Clock()
        self.agenda = Agenda(self.clock)
        self._empty()

    def _empty(self) -> None:
        self.clock.reset()
        self.agenda.clear()
        self.ledger = Ledger()
        self.faults = Faults()
        self.post = Post(self.agenda, self.faults, self.schedule, self._retry_scale)
        self.payments: dict[str, Payment] = {}
        self.by_reference: defaultdict[str, list[Payment]] = defaultdict(list)
        self.by_code: dict[str, Payment] = {}
        self.calls: Counter[str] = Counter()
        self.settings: dict[str, Any] = {**COMMON, **self.defaults, **self._given}
        self._windows: dict[str, tuple[datetime, int]] = {}

    async def start_over(self) -> None:
        """Forgets everything. The clock runs true."""
        await self.post.close()
        self._empty()

    # --- what a gateway says in its own words

    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """All endpoints."""

    @abstractmethod
    def error(self, kind: str, *, route: Route | None = None, rule: Rule | None = None) -> Answer:
        """The answer to a call that is not worked on.

        `kind` is unauthorized, malformed, too_large, rate, unavailable, broken, full or no_route. The fields of a
        fault's rule replace those of the body.
        """

    @abstractmethod
    def is_open(self, payment: Payment) -> bool:
        """Whether it waits for money."""

    @abstractmethod
    def arrived(self, payment: Payment, pay: Pay) -> None:
        """Money came and is booked: changes the state, sends webhooks."""

    @abstractmethod
    def expire(self, payment: Payment) -> None:
        """Its time is over while it waits for money: changes the state, sends webhooks."""

    @abstractmethod
    def decline(self, payment: Payment) -> None:
        """The buyer's bank declines: changes the state, sends webhooks. Raises Refused where a buyer just goes away."""

    @abstractmethod
    def reverse(self, payment: Payment) -> None:
        """The bank has taken the money back, which is booked: changes the state, sends webhooks."""

    @abstractmethod
    def confirm_refunds(self, payment: Payment) -> None:
        """The bank says about each refund that waits whether it was paid."""

    @abstractmethod
    def forge(self, payment: Payment, fields: Mapping[str, Any], signed: str) -> Webhook:
        """Sends a webhook with changed fields; see `GatewayControl.forge`."""

    def find(self, name: str) -> Payment | None:
        """The payment that a path names."""
        return self.payments.get(name)

    def pick(self, pay: Pay) -> Payment | None:
        """The payment that begins because a buyer picks a method on a page of the gateway."""
        del pay
        return None

    def pace_bucket(self, call: Call, route: Route) -> str:
        """Which calls share a limit."""
        del call, route
        return ""

    def pace_headers(self, left: int, reset_s: float) -> Mapping[str, str]:
        """What the headers of an answer say about the limit."""
        del left, reset_s
        return {}

    @abstractmethod
    def before(self, call: Call, route: Route) -> Answer | None:
        """The answer that the call's idempotency key got already."""

    @abstractmethod
    def after(self, call: Call, route: Route, answer: Answer) -> None:
        """Hears of each answer when it leaves, also if it is lost on the way."""

    # --- payments and money

    def add(self, payment: Payment) -> None:
        """Keeps a new payment, which expires in its time. Raises Full."""
        self.check_room(len(self.payments))
        self.payments[payment.id] = payment
        self.by_reference[payment.reference].append(payment)
        self.by_code.update({code.value: payment for code in payment.codes})
        self.agenda.at(payment.expires, partial(self._time_is_over, payment))

    def check_room(self, count: int) -> None:
        """Raises Full when there are as many payments or pages as the simulator keeps."""
        if count >= self.settings["payments_max"]:
            raise Full(f"The simulator keeps {self.settings['payments_max']:,}. Reset it, or raise `payments_max`.")

    def _time_is_over(self, payment: Payment) -> None:
        if self.is_open(payment):
            self.expire(payment)

    def reference_of(self, call: Call, route: Route) -> str:
        """The shop's reference that a call is about; "" if it has none."""
        if route.operation is Operation.BEGIN:
            return self.reference_in(call.body)
        payment = self.find(call.id)
        return payment.reference if payment else call.id

    def reference_in(self, body: Mapping[str, Any]) -> str:
        """The shop's reference in the body of a call that begins a payment."""
        found = body.get(self.reference_field, "")
        return found if isinstance(found, str) else ""

    def book(self, payment: Payment, direction: str, amount: int, why: str) -> None:
        """Writes a movement of money."""
        method = payment.method.name
        self.ledger.book(Entry(payment.reference, direction, amount, why, payment.id, method, self.clock.now()))

    def take(self, payment: Payment, pay: Pay) -> None:
        """Money arrives."""
        amount = payment.amount if pay.amount is None else pay.amount
        self.book(payment, "in", amount, "payment")
        arrival = Arrival(str(uuid.uuid4()), amount, self.clock.now(), pay.hidden, pay.issuer, pay.account)
        payment.arrivals.append(arrival)
        if not pay.hidden:
            self.arrived(payment, pay)

    def paid_by(self, pay: Pay) -> Payment:
        """A buyer pays. Raises Refused as the bank or the wallet would."""
        payment = self.payment_of(pay)
        if not pay.force and not self.is_open(payment):
            raise Refused(f"closed: {payment.state}")
        if not pay.force and pay.amount not in {None, payment.amount}:
            raise Refused(f"amount: this code is for {payment.amount} rupiah")
        self.take(payment, pay)
        return payment

    def declined_by(self, pay: Pay) -> Payment:
        """A buyer's bank declines. Raises Refused where the gateway hears nothing of it."""
        payment = self.payment_of(pay)
        if not self.is_open(payment):
            raise Refused(f"closed: {payment.state}")
        self.decline(payment)
        return payment

    def reversed_by(self, pay: Pay) -> Payment:
        """The bank takes all money of a payment back that was not refunded. Raises Refused where banks do not."""
        payment = self.payment_of(pay)
        if not payment.method.reverses and not pay.force:
            raise Refused(f"never: {payment.method.name} has no reversals")
        sums = [entry for entry in self.ledger.of(payment.reference) if entry.payment == payment.id]
        left = sum(entry.amount if entry.direction == "in" else -entry.amount for entry in sums)
        if left <= 0:
            raise Refused("empty: no money is there")
        self.book(payment, "out", left, "reversal")
        self.reverse(payment)
        return payment

    def payment_of(self, pay: Pay) -> Payment:
        """The payment of a buyer's code. Raises Refused."""
        self.agenda.fire()
        payment = self.by_code.get(pay.code) or self.pick(pay)
        if payment is None:
            raise Refused("unknown: no payment has this code")
        return payment

    def notify_urls(self, payment: Payment) -> Sequence[str]:
        """Where webhooks about a payment go."""
        del payment
        return [self.settings["notify_url"]] if self.settings["notify_url"] else []

    # --- pace and settings

    def admit(self, bucket: str) -> tuple[bool, int, float]:
        """Counts a call. Whether the pace allows it, how many calls are left, and in how many seconds more come."""
        limit, now = self.settings["calls_a_minute"], self.clock.now()
        start, count = self._windows.get(bucket, (now, 0))
        if not start <= now < start + PACE_WINDOW:
            start, count = now, 0
        self._windows[bucket] = (start, count + 1)
        return count < limit, max(0, limit - count - 1), (start + PACE_WINDOW - now).total_seconds()

    def change(self, values: Mapping[str, Any]) -> None:
        """Changes settings. An empty key or token keeps the present one. Raises ValueError and changes nothing."""
        for name, value in values.items():
            if name not in self.settings:
                raise ValueError(f"There is no setting {name!r}; there are {', '.join(sorted(self.settings))}.")
            kind = type(self.settings[name])
            fine = isinstance(value, int | float) if kind is float else isinstance(value, kind)
            if not fine or (isinstance(value, bool) and kind is not bool):
                raise ValueError(f"`{name}` is {value!r}; it must be of type {kind.__name__}.")
        if values.get("notify_url"):
            check_address(values["notify_url"])
        kept = {"key", "token"}
        self.settings.update({name: value for name, value in values.items() if value != "" or name not in kept})
