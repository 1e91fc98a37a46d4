"""What Xendit calls methods, states and errors, and what each of them means to flashsale.

A word that is not here decides nothing: `xendit_answers.py` raises ProviderDown for it.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum, auto
from typing import NamedTuple

from flashsale.providers.payments.base import Method
from flashsale.rules.states import StandingState


class Channel(NamedTuple):
    """A way to pay: Xendit's code, our method, and the bank's name where the buyer sends money to an account."""

    code: str
    method: Method
    bank: str = ""


def _wallet(
    name: str, code: str, *, minutes: int, days: int | None, partial: bool = True, refund: bool = True
) -> Channel:
    """An e-wallet: Xendit answers with a page or an app to open. Its life is fixed."""
    return Channel(
        code,
        Method(
            name,
            "redirect",
            life_max=timedelta(minutes=minutes),
            expiry_settable=False,
            refund="api" if refund else "manual",
            partial=partial,
            refund_within=timedelta(days=days) if days else None,
        ),
    )


def _account(bank: str, *, least: int = 1, most: int = 10**12) -> Channel:
    """A virtual account. Xendit cannot send its money back."""
    name = f"va_{bank.lower()}"
    method = Method(name, "va", amount_min=least, amount_max=most, refund="manual", partial=False)
    return Channel(f"{bank.upper()}_VIRTUAL_ACCOUNT", method, bank)


_QRIS = Channel(
    "QRIS",
    Method(
        "qris",
        "qr",
        amount_max=10_000_000,
        life_max=timedelta(hours=48),
        expiry_settable=False,
        refund_within=timedelta(days=7),
    ),
)
CHANNELS: Mapping[str, Channel] = {
    channel.method.name: channel
    for channel in (
        _QRIS,
        _account("BCA", least=10_000, most=50_000_000),
        _account("BNI"),
        _account("BRI"),
        _account("Mandiri"),
        _account("BSI"),
        _account("Permata"),
        _wallet("dana", "DANA", minutes=24 * 60, days=30),
        _wallet("linkaja", "LINKAJA", minutes=30, days=30, partial=False),
        _wallet("shopeepay", "SHOPEEPAY", minutes=30, days=365),
        _wallet("astrapay", "ASTRAPAY", minutes=30, days=None, refund=False),
    )
}
# The states of a payment request.
STATES: Mapping[str, StandingState] = {
    "ACCEPTING_PAYMENTS": StandingState.WAITING,
    "REQUIRES_ACTION": StandingState.WAITING,
    "AUTHORIZED": StandingState.REVIEW,
    "SUCCEEDED": StandingState.PAID,
    "FAILED": StandingState.FAILED,
    "EXPIRED": StandingState.EXPIRED,
    "CANCELED": StandingState.CLOSED,
}
# The states of a payment, which is one try of the buyer. None: the state of the request counts. A request that has
# expired or was cancelled keeps its state when money comes, so the payment counts more.
PAYMENT_STATES: Mapping[str, StandingState | None] = {
    "SUCCEEDED": StandingState.PAID,
    "AUTHORIZED": StandingState.REVIEW,
    "PENDING": StandingState.WAITING,
    "FAILED": None,
    "EXPIRED": None,
    "CANCELED": None,
}
REFUND_STATES: Mapping[str, str] = {
    "PENDING": "sent",
    "SUCCEEDED": "confirmed",
    "FAILED": "failed",
    "CANCELLED": "failed",
}


class Meaning(Enum):
    """What an error says about the call that it answers."""

    AGAIN = auto()  # nothing happened; later it may work
    NOT_KNOWN = auto()  # it may have happened
    NEVER = auto()  # nothing happened, and it never will
    NO_SUCH = auto()  # there is no object with this id
    OVER = auto()  # the payment request does not wait for money any more, so look
    BY_PEOPLE = auto()  # a refund that a person must try again
    NO_REFUND = auto()  # Xendit never sends this money back, so a person transfers it


CODES: Mapping[str, Meaning] = {
    "RATE_LIMIT_EXCEEDED": Meaning.AGAIN,
    "PAYMENT_REQUEST_RATE_LIMITED": Meaning.AGAIN,
    "CHANNEL_UNAVAILABLE": Meaning.AGAIN,
    "ISSUER_UNAVAILABLE": Meaning.AGAIN,
    "TEMPORARILY_UNAVAILABLE": Meaning.AGAIN,
    "REFUND_IN_PROGRESS": Meaning.AGAIN,
    "SERVER_ERROR": Meaning.NOT_KNOWN,
    "INVALID_VALUE_ERROR": Meaning.NEVER,
    "API_VALIDATION_ERROR": Meaning.NEVER,
    "INVALID_PAYMENT_DETAILS": Meaning.NEVER,
    "DUPLICATE_ERROR": Meaning.NEVER,
    "INVALID_API_KEY": Meaning.NEVER,
    "REQUEST_FORBIDDEN_ERROR": Meaning.NEVER,
    "INVALID_MERCHANT_SETTINGS": Meaning.NEVER,
    "REFUND_NOT_SUPPORTED": Meaning.NO_REFUND,
    "PARTIAL_REFUND_NOT_SUPPORTED": Meaning.NO_REFUND,
    "PARTIAL_REFUND_COUNTS_EXCEEDED": Meaning.NO_REFUND,
    "DATA_NOT_FOUND": Meaning.NO_SUCH,
    "INACTIVE_PAYMENT_REQUEST": Meaning.OVER,
    "INELIGIBLE_TRANSACTION_STATUS": Meaning.OVER,
    "INSUFFICIENT_BALANCE": Meaning.BY_PEOPLE,
    # The money may be back already, by the dashboard.
    "REFUND_AMOUNT_EXCEEDED": Meaning.BY_PEOPLE,
}
