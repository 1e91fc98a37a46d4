"""The expected result of each payment: attempts, late money, other amounts, reversals and refunds."""

from collections.abc import Iterator
from dataclasses import dataclass, field

OPEN = ("asked", "waiting", "review")
ENDED = ("failed", "expired", "closed")
# What a provider may say: its word, how much more than asked it got, and in which currency.
SAID = (
    ("paid", 0, "IDR"), ("paid", 0, "IDR"), ("paid", 0, "IDR"), ("paid", 500, "IDR"), ("paid", -1, "IDR"),
    ("paid", 0, "USD"), ("waiting", 0, ""), ("review", 0, ""), ("failed", 0, ""), ("expired", 0, ""),
    ("closed", 0, ""), ("reversed", 0, ""), ("unknown", 0, ""),
)  # fmt: skip
# How a buyer pays: at once, in the app of their bank, with a card that is declined, or by a partner's own payment.
WAYS = ("wallet", "wallet", "wallet", "demo-later", "demo-later", "demo-declined", "partner-1", "partner-2")


@dataclass(eq=False)
class Attempt:
    """One attempt to pay. `refunds`: the reason of each refund → due, sent, confirmed or withdrawn."""

    way: str
    state: str
    refunds: dict[str, str] = field(default_factory=dict)

    @property
    def is_partners(self) -> bool:
        return self.way.startswith("partner")

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class Money:
    """The attempts of a hold. `state` is the hold's own state."""

    state: str
    attempts: list[Attempt]

    @property
    def under_way(self) -> Attempt | None:
        return next((attempt for attempt in self.attempts if attempt.is_open), None)

    def begin(self, way: str) -> str | None:
        """The buyer of a hold in time pays by `way`. The outcome of a refusal; None: paid, or it is paid later."""
        known = self.under_way
        if known and way.startswith("partner"):
            known.state, known = "closed", None
        if known is None:
            state = {"demo-later": "waiting", "demo-declined": "failed"}.get(way, "paid")
            known = Attempt(way, state)
            self.attempts.append(known)
        else:
            known.state = "waiting"
        if known.state == "paid":
            self.state = "confirmed"
        return "payment_declined" if known.state == "failed" else None

    def close(self) -> bool:
        """The attempt under way is closed at the provider, because the hold is over. Whether there was one."""
        known = self.under_way
        if known:
            known.state = "closed"
        return known is not None

    def hear(self, attempt: Attempt, said: str, over: int, currency: str, *, honoured: bool) -> None:
        """A provider says how an attempt stands. `honoured`: late money buys the units of this expired hold."""
        if said == "paid" and (attempt.is_open or attempt.state in ENDED):
            self._take(attempt, over, currency, honoured=honoured)
        elif said == "reversed" and attempt.state == "paid":
            attempt.state = "reversed"
            attempt.refunds = {why: "withdrawn" if how == "due" else how for why, how in attempt.refunds.items()}
        elif attempt.is_open and said != "unknown":
            attempt.state = "failed" if said == "reversed" else said

    def _take(self, attempt: Attempt, over: int, currency: str, *, honoured: bool) -> None:
        if currency != "IDR" or over < 0:
            attempt.state = "mismatch"
        elif attempt.is_open and (self.state == "held" or honoured):
            attempt.state, self.state = "paid", "confirmed"
            if over:
                attempt.refunds["overpaid"] = "due"
        else:
            attempt.state = "late"
            attempt.refunds["late"] = "due"

    def owe(self) -> None:
        """The order is cancelled, so what paid for it goes back."""
        for attempt in self.attempts:
            if attempt.state == "paid":
                attempt.refunds["cancelled"] = "due"

    def refunded(self) -> None:
        """Due refunds are sent. The demo's bank confirms at once, a partner when it answers."""
        for attempt in self.attempts:
            for why, how in attempt.refunds.items():
                if how == "due":
                    attempt.refunds[why] = "sent" if attempt.is_partners else "confirmed"

    def seen(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
        """What PostgreSQL must have: the state of each attempt, and its refunds."""
        for attempt in self.attempts:
            yield attempt.state, tuple(sorted(attempt.refunds.items()))
