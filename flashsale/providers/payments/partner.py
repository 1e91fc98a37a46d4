"""A partner that charges its own buyers, as a marketplace does: it confirms once the money is there."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from flashsale.providers.payments.base import (
    Attempt,
    Checked,
    Hint,
    Method,
    NotBelieved,
    RefundRequest,
    RefundStanding,
    Standing,
)
from flashsale.rules.states import StandingState

REFERENCE_MAX = 100


class PartnerProvider:
    """Takes a partner's word. A refund is a duty of the partner: it waits until the partner says that it is done."""

    account = "partner"
    pace = 1e9
    headers: Sequence[str] = ()
    looks_by_reference = True

    def methods(self) -> Sequence[Method]:
        """One method. It cannot be open, because the partner confirms after its buyer has paid."""
        return (Method("partner", "redirect", life_min=timedelta(0), guard=timedelta(0), refund="manual"),)

    @staticmethod
    def id_of(channel: int, reference: str) -> str:
        """The provider's id of an attempt: unique over all channels, because each has its own references."""
        return f"{channel}:{reference}"

    @staticmethod
    def is_reference(text: str) -> bool:
        """Whether a partner may name its payment or refund so."""
        return 1 <= len(text) <= REFERENCE_MAX and text.isascii() and text.isprintable()

    async def begin(self, asked: Attempt) -> Standing:
        """Paid in full, because the partner says so."""
        return Standing(StandingState.PAID, asked.provider_id, Decimal(asked.amount), asked.currency)

    async def look(self, asked: Attempt) -> Standing:
        """Unknown unless the partner has confirmed, because only the same request may confirm."""
        return Standing(StandingState.UNKNOWN, asked.provider_id)

    async def close(self, asked: Attempt) -> Standing:
        """Closed: what the partner has not confirmed in time is not paid."""
        return Standing(StandingState.CLOSED, asked.provider_id)

    async def refund(self, back: RefundRequest) -> RefundStanding:
        """Sent: the partner reads its duty in the reservation, and answers it."""
        return RefundStanding("sent", back.provider_id)

    async def look_refund(self, back: RefundRequest) -> RefundStanding:
        """Still sent, because only the partner says that it is done."""
        return RefundStanding("sent", back.provider_id)

    def believe(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Hint]:  # noqa: ARG002
        """Nothing: a partner calls the API with its key."""
        raise NotBelieved("A partner confirms and refunds with its key.")

    async def check(self) -> Checked:
        """Nothing to check: partners call us."""
        return Checked("partners charge their own buyers")
