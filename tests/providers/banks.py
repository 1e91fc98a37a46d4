"""The other side of each payment provider, for the suite that all of them pass: what buyers, banks and networks do.

A provider's simulator cannot play everything. `CAN` says what it plays; the suite runs the scenarios that it can.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from itertools import count
from typing import Any, ClassVar

import pytest
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.models import DemoCharge
from flashsale.providers.payments import DEMO_LATER, DemoProvider
from flashsale.providers.payments.base import Attempt, PaymentProvider, RefundRequest, RefundStanding, Standing
from flashsale.providers.payments.midtrans import Midtrans
from flashsale.providers.payments.xendit import Xendit
from simulation.gateways.client import Gateway
from simulation.gateways.faults import Fault, Operation

AMOUNT = 1_799_000
_numbers = count(1)


class Bank(ABC):
    """A provider and its other side. The calls below `provider` are what a test can make happen."""

    NAME: ClassVar[str]
    # What this bank's simulator plays, of the words in `ALL`.
    CAN: ClassVar[frozenset[str]]
    # How the buyer pays, and a way that the provider cannot refund ("" if there is none).
    METHOD: ClassVar[str] = "qris"
    UNREFUNDABLE: ClassVar[str] = ""
    INSTRUMENT: ClassVar[str] = ""
    # A way whose end we set, if METHOD has none.
    EXPIRING: ClassVar[str] = ""
    # Whether the provider finds a payment by our reference. If not, the suite keeps its ids, as the books do.
    FINDS: ClassVar[bool] = True
    # Marks of pytest for its tests.
    MARKS: ClassVar[Sequence[pytest.MarkDecorator]] = ()
    provider: PaymentProvider

    @abstractmethod
    def __init__(self, request: Any) -> None:
        """Starts the other side; `request` is pytest's, for fixtures."""

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {}

    # --- our calls

    def asked(self, method: str = "", **fields: Any) -> Attempt:
        """A new attempt that no provider has heard of."""
        reference = f"fs-suite-{next(_numbers)}"
        ends = timezone.now() + timedelta(minutes=13)
        known: dict[str, Any] = {"expires_at": ends, "instrument": self.INSTRUMENT, "fresh": True}
        return Attempt(reference, AMOUNT, "IDR", method or self.METHOD, **known | fields)

    def begin(self, asked: Attempt) -> Standing:
        """Begins, as a process does that has not begun it yet."""
        standing = bridge.run(self.provider.begin(asked))
        self._ids[asked.reference] = standing.provider_id
        return standing

    def again(self, asked: Attempt) -> Standing:
        """Begins once more, as another process does, or the same one after it lost the answer."""
        return bridge.run(self.provider.begin(self._later(asked)))

    def _later(self, asked: Attempt) -> Attempt:
        known = "" if self.FINDS else self._ids.get(asked.reference, "")
        return asked._replace(fresh=False, provider_id=asked.provider_id or known)

    def look(self, asked: Attempt) -> Standing:
        """Looks."""
        return bridge.run(self.provider.look(self._later(asked)))

    def close(self, asked: Attempt) -> Standing:
        """Closes."""
        return bridge.run(self.provider.close(self._later(asked)))

    def paid(self, method: str = "") -> Attempt:
        """An attempt whose buyer has paid."""
        asked = self.asked(method)
        standing = self.begin(asked)
        self.pay(asked)
        return asked._replace(provider_id=standing.provider_id)

    def back(self, asked: Attempt, amount: int = AMOUNT) -> RefundRequest:
        """A refund that was never asked for."""
        return RefundRequest(f"rf-suite-{next(_numbers)}", Decimal(amount), "IDR", asked)

    def refund(self, back: RefundRequest) -> RefundStanding:
        """Asks for a refund."""
        return bridge.run(self.provider.refund(back))

    def look_refund(self, back: RefundRequest) -> RefundStanding:
        """Looks at a refund."""
        return bridge.run(self.provider.look_refund(back))

    def _does_not_play(self, *asked: object) -> AssertionError:
        return AssertionError(f"the bank {self.NAME} does not play this, so its CAN must not name it: {asked}")

    # --- the other side

    @abstractmethod
    def pay(self, asked: Attempt, *, amount: int | None = None, late: bool = False) -> None:
        """The buyer pays. `late`: although it is over. Another amount needs a bank that does not compare."""

    @abstractmethod
    def codes(self, asked: Attempt) -> int:
        """How many codes the provider gave out that can be paid or were paid."""

    @abstractmethod
    def sums(self, asked: Attempt) -> tuple[int, int]:
        """Money in and money out of a reference, as the bank counts it."""

    @abstractmethod
    def notification(self, asked: Attempt) -> tuple[bytes, Mapping[str, str]]:
        """The newest notification about a reference."""

    def altered(self, asked: Attempt) -> tuple[bytes, Mapping[str, str]]:
        """A notification with a true signature, and other fields where the signature does not cover them."""
        raise self._does_not_play(asked)

    @abstractmethod
    def forged(self, asked: Attempt) -> tuple[bytes, Mapping[str, str]]:
        """A notification without a valid signature."""

    def fails(self, what: str, on: str, asked: Attempt) -> None:
        """The next call `on` this reference meets "drop", "error", "busy", "huge", "strings" or a word of the suite."""
        raise self._does_not_play(what, on, asked)

    def time_passes(self, by: timedelta) -> None:
        """The provider's clock goes on."""
        raise self._does_not_play(by)

    def reverse(self, asked: Attempt) -> None:
        """The bank takes a settled payment back."""
        raise self._does_not_play(asked)


ALL = frozenset({"late", "twice", "amount", "faults", "expiry", "reversal", "refund_later", "refund_fails", "altered"})


class DemoBank(Bank):
    """The bank of the demo: rows of DemoCharge. It is never down, and it refunds at once."""

    NAME, CAN, INSTRUMENT = "demo", frozenset(), DEMO_LATER
    MARKS = (pytest.mark.django_db(transaction=True),)

    def __init__(self, request: Any) -> None:  # noqa: ARG002
        self._demo = DemoProvider()
        self.provider = self._demo

    def pay(self, asked: Attempt, *, amount: int | None = None, late: bool = False) -> None:  # noqa: ARG002
        """As the command `pay` does."""
        self._demo.pay(reference=asked.reference)

    def codes(self, asked: Attempt) -> int:
        """One row at most."""
        return DemoCharge.objects.filter(reference=asked.reference).exclude(state="declined").count()

    def sums(self, asked: Attempt) -> tuple[int, int]:
        """What the row says."""
        row = DemoCharge.objects.get(reference=asked.reference)
        came = int(row.amount) if row.state == "paid" else 0
        return came, came if row.refunded else 0

    def notification(self, asked: Attempt) -> tuple[bytes, Mapping[str, str]]:
        """Signed now."""
        return self._demo.signed_notification(reference=asked.reference)

    def forged(self, asked: Attempt) -> tuple[bytes, Mapping[str, str]]:
        """The signature of another body."""
        body, headers = self.notification(asked)
        return body.replace(b'"paid": false', b'"paid": true '), headers


class SimulatedBank(Bank):
    """A simulated gateway in a process of its own (simulation/gateways)."""

    # Faults of the simulators by the suite's words.
    FAULTS: ClassVar[Mapping[str, Fault]] = {
        "drop": Fault.DROP, "error": Fault.ERROR, "busy": Fault.RATE_LIMIT, "huge": Fault.HUGE,
        "strings": Fault.STRINGS, "cut": Fault.RESET, "paid_before_close": Fault.PAID_BEFORE_CLOSE,
        "paid_after_close": Fault.PAID_AFTER_CLOSE, "refund_fails": Fault.REFUND_FAILS,
        "refund_refused": Fault.REFUND_REFUSED, "refund_window": Fault.REFUND_WINDOW,
    }  # fmt: skip
    # The gateway's words for payments that take no money any more.
    OVER: ClassVar[frozenset[str]]
    # A field of its notifications, and a value that is not true.
    FALSE: ClassVar[Mapping[str, Any]]
    # The buyer's app, where that decides about refunds.
    ISSUER: ClassVar[str] = ""

    def __init__(self, request: Any) -> None:
        self.gateway: Gateway = request.getfixturevalue(self.NAME)
        self.control = self.gateway.control
        settings = request.getfixturevalue("settings")
        settings.FLASHSALE_PAYMENT_KEYS = self.keys()
        settings.FLASHSALE_PAYMENT_HOSTS = {self.NAME: self.gateway.url}
        self.provider = self.make()

    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """FLASHSALE_PAYMENT_KEYS for it."""
        return {self.NAME: (self.gateway.key,)}

    @abstractmethod
    def make(self) -> PaymentProvider:
        """Its provider."""

    def _code(self, asked: Attempt) -> str:
        return self.control.codes(asked.reference)[-1].value

    def pay(self, asked: Attempt, *, amount: int | None = None, late: bool = False) -> None:
        """The buyer's app pays the newest code."""
        force = late or amount is not None
        done = self.control.pay(self._code(asked), amount=amount, force=force, issuer=self.ISSUER)
        assert done.accepted, done.why

    def codes(self, asked: Attempt) -> int:
        """Those that the simulator made."""
        return len([code for code in self.control.codes(asked.reference) if code.state not in self.OVER])

    def sums(self, asked: Attempt) -> tuple[int, int]:
        """Of the ledger."""
        found = self.control.ledger().get(asked.reference)
        return (found.money_in, found.money_out) if found else (0, 0)

    def notification(self, asked: Attempt) -> tuple[bytes, Mapping[str, str]]:
        """The newest that the simulator made."""
        hook = self.control.webhooks(asked.reference)[-1]
        return hook.body, hook.headers

    def altered(self, asked: Attempt) -> tuple[bytes, Mapping[str, str]]:
        """No gateway signs the state."""
        hook = self.control.forge(asked.reference, self.FALSE, signed="altered")
        return hook.body, hook.headers

    def forged(self, asked: Attempt) -> tuple[bytes, Mapping[str, str]]:
        """Without a key."""
        hook = self.control.forge(asked.reference, self.FALSE, signed="no")
        return hook.body, hook.headers

    def fails(self, what: str, on: str, asked: Attempt) -> None:
        """One fault of the simulator."""
        self.control.fault(self.FAULTS[what], reference=asked.reference, on=Operation(on))

    def time_passes(self, by: timedelta) -> None:
        """The simulator's clock."""
        self.control.advance(by)

    def reverse(self, asked: Attempt) -> None:
        """As a bank does within minutes."""
        done = self.control.reverse(self._code(asked), force=True)
        assert done.accepted, done.why


class MidtransBank(SimulatedBank):
    """Midtrans."""

    NAME, CAN, UNREFUNDABLE = "midtrans", ALL, "va_bca"
    OVER, FALSE = frozenset({"expire", "cancel", "deny"}), {"transaction_status": "settlement"}

    def make(self) -> PaymentProvider:
        """With the key of the simulator."""
        return Midtrans()


class XenditBank(SimulatedBank):
    """Xendit: no word for a reversal, no list of payments, and a QRIS with a life of its own."""

    NAME, CAN, UNREFUNDABLE, EXPIRING = "xendit", ALL - {"reversal", "twice"}, "va_bca", "va_bca"
    OVER, FALSE = frozenset({"EXPIRED", "CANCELED", "FAILED"}), {"status": "SUCCEEDED"}
    ISSUER, FINDS = "DANA", False

    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """The key of the API, and the token of notifications."""
        return {"xendit": (self.gateway.key,), "xendit.callback": (self.gateway.token,)}

    def make(self) -> PaymentProvider:
        """With the keys of the simulator."""
        return Xendit()


BANKS: Mapping[str, type[Bank]] = {bank.NAME: bank for bank in (DemoBank, MidtransBank, XenditBank)}


def banks(*needed: str, finds: bool | None = None) -> list[Any]:
    """The banks that can play all of `needed`, as parameters of a test: their names, and their marks.

    `finds`: only those that find a payment by our reference, or only those that do not.
    """
    unknown = set(needed) - ALL
    assert not unknown, unknown
    able = [bank for bank in BANKS.values() if bank.CAN.issuperset(needed) and finds in {None, bank.FINDS}]
    return [pytest.param(bank.NAME, marks=bank.MARKS) for bank in able]
