"""The vocabulary of Midtrans in tables: its methods, states, codes and times, and what each means here.

Midtrans puts its own code into the body of an answer, as "status_code". The HTTP status is often 200 beside it.
"""

import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from flashsale.providers.payments.base import Method
from flashsale.rules.states import StandingState

CORE_AND_SNAP = {
    "live": ("https://api.midtrans.com", "https://app.midtrans.com"),
    "sandbox": ("https://api.sandbox.midtrans.com", "https://app.sandbox.midtrans.com"),
}
# Its times have no zone: "2026-11-29 10:00:00".
ZONE = timezone(timedelta(hours=7), "WIB")
# It refuses a shorter life of a code or a number.
LIFE_S_MIN = 20
CARD = "card"
# "masked_card": the first six or eight digits of the card, and the last four.
MASKED_CARD = re.compile(r"[0-9]{6,8}-[0-9]{4}")
WEEK, HALF_A_YEAR = timedelta(days=7), timedelta(days=180)


class Offer(NamedTuple):
    """A method as we offer it, and the words in which Midtrans knows it."""

    method: Method
    payment_type: str
    bank: str = ""
    acquirer: str = ""


def _va(name: str, bank: str) -> Offer:
    # Midtrans sends no money back to a virtual account, so a person transfers it.
    return Offer(Method(name, "va", life_max=HALF_A_YEAR, refund="manual", partial=False), "bank_transfer", bank)


_ALL = (
    # A buyer of another bank than the shop's ("off-us") is refunded for 7 days, one of the same for 45. We cannot
    # choose, so the smaller one counts. Bank Indonesia allows Rp 10 million a payment.
    Offer(
        Method("qris", "qr", amount_max=10_000_000, life_max=WEEK, refund_within=timedelta(days=7)),
        "qris",
        acquirer="gopay",
    ),
    Offer(Method("gopay", "deeplink", life_max=WEEK, refund_within=timedelta(days=45)), "gopay"),
    _va("va_bca", "bca"),
    _va("va_bni", "bni"),
    _va("va_bri", "bri"),
    _va("va_cimb", "cimb"),
    _va("va_permata", "permata"),
    Offer(Method("va_mandiri", "va", life_max=HALF_A_YEAR, refund="manual", partial=False), "echannel", "mandiri"),
    # A page of Snap lives five minutes at least.
    Offer(Method(CARD, "redirect", life_min=timedelta(minutes=5), life_max=WEEK), "credit_card"),
)
OFFERS = {offer.method.name: offer for offer in _ALL}
BANK_NAMES = {
    "bca": "BCA", "bni": "BNI", "bri": "BRI", "cimb": "CIMB Niaga", "permata": "Permata", "mandiri": "Mandiri",
}  # fmt: skip

# "transaction_status", in lower case because DANA writes it in capitals.
STATES = {
    "pending": StandingState.WAITING,
    "authorize": StandingState.REVIEW,
    "capture": StandingState.PAID,
    "settlement": StandingState.PAID,
    # The money came, and some or all of it went back by a refund, which has a state of its own.
    "partial_refund": StandingState.PAID,
    "refund": StandingState.PAID,
    "deny": StandingState.FAILED,
    "failure": StandingState.FAILED,
    "expire": StandingState.EXPIRED,
    "cancel": StandingState.CLOSED,
    "chargeback": StandingState.REVERSED,
    "partial_chargeback": StandingState.REVERSED,
}
# Only these of "fraud_status" let a captured or settled payment count as paid.
ACCEPTED = {"", "accept"}

# Codes of a call.
DONE, DENIED_OR_IN_PROGRESS = "200", "202"
NO_KEY, UNKNOWN, USED, EXPIRED, NOT_CHANGEABLE, NO_REFUND = "401", "404", "406", "407", "412", "414"
# A charge with one of these is never taken. 402: the method is not activated. 411: the token of a card is bad.
NEVER = {"400", NO_KEY, "402", "403", "410", "411", "413"}
# Nothing happened, and the same call may come again. 505: the bank made no account number.
AGAIN = {"429", "503", "505", "900"}
# What a person has to look at: a refund that is refused for one of these may pass later (balance) or never (amount).
REFUND_FAILED = {DENIED_OR_IN_PROGRESS, "400", "402", NO_REFUND}


def moment(text: object) -> datetime | None:
    """A time of Midtrans; None for one that cannot be read."""
    try:
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONE)
    except ValueError:
        return None
