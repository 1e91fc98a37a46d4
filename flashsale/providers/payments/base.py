"""What every payment provider does: the protocol, its answers, and its errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

METHODS = ("qris", "va", "card")


class ProviderDown(Exception):
    """The provider did not answer; the same call may be made again."""


class NotBelieved(Exception):
    """A call-back that the provider has not signed, or not lately."""


class Charge(StrEnum):
    """What has become of a charge. Paid and declined are final."""

    PENDING = "pending"
    PAID = "paid"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class CallBack:
    """What a call-back says of a reference; `amount` in whole units of the currency."""

    reference: str
    amount: int
    currency: str
    paid: bool


class CannotRefund(Exception):
    """The provider will not send this money back, however often it is asked: people have to see to it."""


class PaymentProvider(Protocol):
    """What the life needs of a provider. All but `read` may raise ProviderDown."""

    name: str

    def charge(self, *, reference: str, amount: int, currency: str, method: str, instrument: str) -> Charge:
        """Charges a reference once: asked again, by another instrument too, it says what became of the first time."""

    def close(self, *, reference: str) -> Charge:
        """PAID when the money had come; otherwise DECLINED, and from now on this reference takes none."""

    def refund(self, *, reference: str, amount: int, currency: str) -> str:
        """The provider's reference of the refund; the same one when asked again. Raises CannotRefund."""

    def read(self, *, body: bytes, headers: Mapping[str, str]) -> CallBack:
        """What a call-back says; raises NotBelieved, and ValueError when it is signed and cannot be read."""
