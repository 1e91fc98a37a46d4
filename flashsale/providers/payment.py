"""Payment providers. Each charges a reference once, however often it is asked, and can say later what became of it."""

from typing import Protocol

METHODS = ("qris", "va", "card")
# Magic values of the demo provider, as sandboxes of real ones have them.
DEMO_DECLINED = "demo-declined"


class CannotRefund(Exception):
    """The provider will not send this money back, however often it is asked: people have to see to it."""


class PaymentProvider(Protocol):
    """What the life needs of a provider."""

    name: str

    def charge(self, *, reference: str, amount: int, currency: str, method: str, instrument: str) -> bool:
        """Whether the money is there; asked again with the same reference it answers the same and charges nothing."""

    def refund(self, *, reference: str, amount: int, currency: str) -> str:
        """The provider's reference of the refund; the same one when asked again. Raises CannotRefund."""


class DemoProvider:
    """Pays everything but the instrument "demo-declined". Answers follow from the request alone, so retries agree."""

    name = "demo"

    def charge(self, *, reference: str, amount: int, currency: str, method: str, instrument: str) -> bool:  # noqa: ARG002
        """Whether the demo pays."""
        return method in METHODS and instrument != DEMO_DECLINED

    def refund(self, *, reference: str, amount: int, currency: str) -> str:  # noqa: ARG002
        """A reference made from ours."""
        return f"refund-{reference}"


provider: PaymentProvider = DemoProvider()
