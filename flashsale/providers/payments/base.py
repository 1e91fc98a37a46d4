"""The protocol of payment providers: calls, answers and errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from flashsale.rules.states import Charge

METHODS = ("qris", "va", "card")


class ProviderDown(Exception):
    """The provider did not answer. The caller may repeat the call."""


class InvalidSignature(Exception):
    """A callback without a valid signature of the provider, or with an old one."""


@dataclass(frozen=True, slots=True)
class Callback:
    """What the provider reports about a reference. `amount` is in whole units of the currency."""

    reference: str
    amount: int
    currency: str
    paid: bool


class CannotRefund(Exception):
    """The provider refuses to send this money back. A repeat does not help, so a person has to see to it."""


class PaymentProvider(Protocol):
    """The calls that flashsale makes to a provider. All but `parse_callback` may raise ProviderDown."""

    name: str

    def charge(self, *, reference: str, amount: int, currency: str, method: str, instrument: str) -> Charge:
        """Charges a reference once. A repeat, also with another instrument, returns the result of the first charge."""

    def close(self, *, reference: str) -> Charge:
        """PAID if the money has come. Otherwise DECLINED, and from now on the reference takes no money."""

    def refund(self, *, reference: str, amount: int, currency: str) -> str:
        """Sends the money back once; returns the provider's reference of the refund, also to a repeat.

        Raises CannotRefund.
        """

    def parse_callback(self, *, body: bytes, headers: Mapping[str, str]) -> Callback:
        """Checks the signature and parses the body. Raises InvalidSignature, or ValueError for an invalid body."""
