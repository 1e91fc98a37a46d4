"""The vocabulary of Xendit (payment requests, version 3): channels, states, errors, as its documents give them."""

from datetime import timedelta

from simulation.gateways.payments import Method

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
VERSION = "2024-11-11"
BUSINESS = "5f27a14a9bf05c73dd040bc8"
AMOUNT_MAX = 1_000_000_000
ACCOUNT_MAX = 50_000_000


def _account(bank: str, prefix: str, *, minimum: int = 1) -> Method:
    # No document gives bounds of the time that an account may be paid.
    return Method(
        f"{bank}_VIRTUAL_ACCOUNT", "va", minimum, ACCOUNT_MAX, DAY, MINUTE, 365 * DAY, prefix=prefix, bank=bank
    )  # fmt: skip


def _wallet(name: str, life: timedelta, *, days: int = 0, part: bool = True) -> Method:
    window = timedelta(days=days) if days else None
    kind = "push" if name == "OVO" else "redirect"
    return Method(name, kind, 1, AMOUNT_MAX, life, refund=bool(days), partial=part and bool(days), window=window)


_ALL = (
    # A QRIS lives 48 hours, and the shop cannot say otherwise.
    Method("QRIS", "qr", 1, 10_000_000, 48 * HOUR, refund=True, partial=True, window=7 * DAY),
    _account("BCA", "70017", minimum=10_000),
    _account("BNI", "8808"),
    _account("BRI", "92001"),
    _account("MANDIRI", "88908"),
    _account("BSI", "9347"),
    _account("PERMATA", "7293"),
    # OVO refunds payments by a saved account alone, which are not simulated.
    _wallet("OVO", timedelta(seconds=55)),
    _wallet("DANA", DAY, days=30),
    _wallet("LINKAJA", 30 * MINUTE, days=30, part=False),
    _wallet("SHOPEEPAY", 30 * MINUTE, days=365),
    _wallet("ASTRAPAY", 30 * MINUTE),
)
CHANNELS = {method.name: method for method in _ALL}
# A refund of a QRIS needs one of these as the buyer's app.
QRIS_REFUND_APPS = {"", "DANA", "SHOPEEPAY", "OVO", "GOPAY", "CIMB", "PERMATA", "JENIUS", "BSI"}
REASONS = {"REQUESTED_BY_CUSTOMER", "CANCELLATION", "DUPLICATE", "FRAUDULENT", "OTHERS"}

# What the buyer needs of each kind of code: `type` and `descriptor` of an action.
DESCRIPTORS = {
    "qr": ("PRESENT_TO_CUSTOMER", "QR_STRING"),
    "va": ("PRESENT_TO_CUSTOMER", "VIRTUAL_ACCOUNT_NUMBER"),
    "redirect": ("REDIRECT_CUSTOMER", "WEB_URL"),
}

OPEN = {"ACCEPTING_PAYMENTS", "REQUIRES_ACTION", "AUTHORIZED"}

# `error_code`: the status of HTTP and the text.
ERRORS = {
    "API_VALIDATION_ERROR": (400, "There was an error with the format submitted to the server."),
    "INVALID_VALUE_ERROR": (400, "A value is not allowed by the payment channel."),
    "INVALID_API_KEY": (401, "API key is not authorized for this API service."),
    "CHANNEL_NOT_ACTIVATED": (403, "The channel is not activated for your account."),
    "DATA_NOT_FOUND": (404, "ID specified in request cannot be found."),
    "INACTIVE_PAYMENT_REQUEST": (400, "The payment request has ended. Changes are not allowed."),
    "INELIGIBLE_TRANSACTION_STATUS": (400, "The status of the transaction does not allow this."),
    "REFUND_NOT_SUPPORTED": (400, "Refunds are not supported for this payment."),
    "PARTIAL_REFUND_NOT_SUPPORTED": (400, "Partial refunds are not supported for this channel."),
    "REFUND_AMOUNT_EXCEEDED": (400, "The amount is more than what was captured and not refunded."),
    "REFUND_IN_PROGRESS": (409, "Another refund of this payment is in progress."),
    "INSUFFICIENT_BALANCE": (400, "The balance is not enough for this refund."),
    "PAYLOAD_TOO_LARGE": (413, "The request body is too large."),
    "RATE_LIMIT_EXCEEDED": (429, "Too many requests."),
    "SERVER_ERROR": (500, "An unexpected error occurred. Our team was notified."),
    "CHANNEL_UNAVAILABLE": (503, "The channel is not available."),
}
