"""The vocabulary of Midtrans: ways to pay, states, codes and texts, as its documents give them."""

from datetime import timedelta
from typing import NamedTuple

from simulation.gateways.payments import Method

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SHORTEST = timedelta(seconds=20)
QR_MAX = 10_000_000
AMOUNT_MAX = 999_999_999_999


def _qr(name: str, acquirer: str, **more: object) -> Method:
    usual = {"life": 15 * MINUTE, "life_min": SHORTEST, "refund": True, "bank": acquirer}
    return Method(name, "qr", 1, QR_MAX, **{**usual, **more})  # type: ignore[arg-type]


def _account(name: str, bank: str, prefix: str, *, reverses: bool = False) -> Method:
    return Method(
        name, "va", 1, AMOUNT_MAX, DAY, SHORTEST, 180 * DAY, reverses=reverses, prefix=prefix, bank=bank
    )  # fmt: skip


# By `payment_type`, and by acquirer or bank where the type has one.
METHODS: dict[tuple[str, str], Method] = {
    ("qris", "gopay"): _qr("qris", "gopay", life_max=7 * DAY, partial=True, window=45 * DAY, window_off_us=7 * DAY),
    ("qris", "airpay shopee"): _qr("qris", "airpay shopee", life_max=5 * DAY, window=365 * DAY, window_off_us=7 * DAY),
    ("gopay", ""): Method(
        "gopay", "deeplink", 1, AMOUNT_MAX, 15 * MINUTE, SHORTEST, 7 * DAY, refund=True, partial=True, window=45 * DAY
    ),
    ("bank_transfer", "bca"): _account("bank_transfer", "bca", "12345"),
    ("bank_transfer", "bni"): _account("bank_transfer", "bni", "988"),
    ("bank_transfer", "bri"): _account("bank_transfer", "bri", "26215"),
    ("bank_transfer", "cimb"): _account("bank_transfer", "cimb", "1199"),
    ("bank_transfer", "permata"): _account("bank_transfer", "permata", "8562", reverses=True),
    ("echannel", ""): _account("echannel", "mandiri", "900", reverses=True),
    # The page for the password of a card lives 10 minutes. No document gives the window of its refunds.
    ("credit_card", ""): Method("credit_card", "redirect", 1, AMOUNT_MAX, 10 * MINUTE, refund=True, partial=True),
}
TYPES = {name for name, _ in METHODS}
# Known to Midtrans, and not activated for this account.
NOT_ACTIVATED = {"shopeepay", "dana", "ovo", "kredivo", "akulaku", "cstore"}
# The names of a payment page (Snap).
PAGE_METHODS = {
    "credit_card": ("credit_card", ""),
    "gopay": ("gopay", ""),
    "other_qris": ("qris", "gopay"),
    "bca_va": ("bank_transfer", "bca"),
    "bni_va": ("bank_transfer", "bni"),
    "bri_va": ("bank_transfer", "bri"),
    "cimb_va": ("bank_transfer", "cimb"),
    "permata_va": ("bank_transfer", "permata"),
    "echannel": ("echannel", ""),
}
NO_IDEMPOTENCY_BANKS = {"permata"}
UNITS = {"second": timedelta(seconds=1), "minute": MINUTE, "hour": HOUR, "day": DAY}
MERCHANT = "G000000001"
BILLER_CODE = "70012"
# ShopeePay refunds nothing from 23:55 to 06:00 in Jakarta: minutes of the day.
SHOPEE_NIGHT = (23 * 60 + 55, 6 * 60)

OPEN = {"pending"}
CLOSED = {"expire", "cancel", "deny", "failure"}
PAID = {"settlement", "capture", "refund", "partial_refund"}


class Card(NamedTuple):
    """What a test card does: the state, the word of the fraud check, and after how many seconds."""

    state: str
    fraud: str = "accept"
    after_s: float = 0.0


# The card of a buyer who names none.
FIRST_CARD = "4811111111111114"
CARDS = {
    "4811111111111114": Card("capture"),
    "4911111111111113": Card("deny"),
    "4411111111111118": Card("capture"),
    "4611111111111116": Card("deny", "deny"),
    "5211111111111117": Card("capture"),
    "5111111111111118": Card("deny"),
    "4024007176265022": Card("capture", after_s=60.0),
    # No card of the sandbox is challenged; this word stands for one.
    "challenge": Card("capture", "challenge"),
}

TEXTS = {
    "400": "One or more parameters in the payload is invalid.",
    "401": "Transaction cannot be authorized with the current client/server key.",
    "402": "Payment channel is not activated.",
    "404": "Transaction doesn't exist.",
    "406": "The request could not be completed due to a conflict with the current state of the target resource.",
    "411": "Token id is missing, invalid, or timed out",
    "412": "Merchant cannot modify the status of the transaction",
    "413": "The request body is too large",
    "414": "Refund request is rejected due to invalid amount",
    "429": "Too many requests",
    "500": "Sorry, we encountered internal server error. We will fix this soon.",
    "503": "Sorry, the bank is having a connection problem.",
}
# The body's code when a transaction is looked at, and the one of its notification. A capture under review has 201.
LOOK_CODES = {"pending": "201", "expire": "407", "deny": "202", "failure": "202"}
NOTICE_CODES = {"pending": "201", "expire": "202", "cancel": "202", "deny": "202", "failure": "202"}
