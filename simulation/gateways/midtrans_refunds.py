"""Which refunds Midtrans takes: by method, window, amount and key."""

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from simulation.gateways.faults import Fault, Rule
from simulation.gateways.ledger import JAKARTA
from simulation.gateways.midtrans_charge import Wrong
from simulation.gateways.midtrans_words import DAY, SHOPEE_NIGHT
from simulation.gateways.payments import Payment, Refund

KEY = re.compile(r"[A-Za-z0-9_-]{1,255}")
KEY_LIFE = 7 * DAY
REASON_MAX = 255


class BankRefuses(Exception):
    """The bank refuses a refund that Midtrans took. The same key may be tried again."""


def ask(
    payment: Payment, body: Mapping[str, Any], now: datetime, strike: Callable[[Fault], Rule | None], gross: int
) -> Refund:
    """Takes a refund and adds it to the payment. Raises Wrong, BankRefuses; the latter keeps the key."""
    key, amount, reason = _read(body, gross)
    known = payment.refund_of(key)
    if known is not None and known.state in {"accepted", "confirmed"}:
        raise Wrong("406", "Duplicate refund ID")
    if known is not None and now > known.first_try + KEY_LIFE:
        raise Wrong("406", "This refund key is older than 7 days. Use a new one.")
    if payment.state not in {"settlement", "partial_refund"} or not payment.method.refund:
        raise Wrong("412")
    if strike(Fault.REFUND_WINDOW) or _window_is_over(payment, now):
        raise Wrong("412", "The refund window of this transaction is over")
    left = gross - payment.returned("accepted", "confirmed")
    if amount > left or (amount != gross and not payment.method.partial):
        raise Wrong("414")
    if strike(Fault.REFUND_BALANCE):
        raise Wrong("414", "Refund request is rejected due to insufficient funds")
    refund = known or Refund(str(len(payment.refunds) + 1), key, amount, reason, "new", now, now, now)
    if known is None:
        payment.refunds.append(refund)
    refund.amount, refund.reason, refund.updated = amount, reason, now
    if strike(Fault.REFUND_REFUSED) or _at_shopee_night(payment, now):
        refund.state = "refused"
        raise BankRefuses
    refund.state = "accepted"
    refund.why = "the bank refused it afterwards" if strike(Fault.REFUND_FAILS) else ""
    return refund


def _read(body: Mapping[str, Any], gross: int) -> tuple[str, int, str]:
    key, amount, reason = body.get("refund_key", str(uuid.uuid4())), body.get("amount", gross), body.get("reason", "")
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise Wrong("400", "refund_key may have the characters A-Z a-z 0-9 - _ alone")
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 1:
        raise Wrong("400", "amount must be a whole number above 0")
    if not isinstance(reason, str) or len(reason) > REASON_MAX:
        raise Wrong("400", f"reason may have {REASON_MAX} characters")
    return key, amount, reason


def _window_is_over(payment: Payment, now: datetime) -> bool:
    """A QRIS that was paid with another app than the acquirer's own has the shorter window."""
    first = payment.arrivals[0]
    off_us = first.issuer not in {"", payment.method.bank}
    window = payment.method.window_off_us if off_us and payment.method.window_off_us else payment.method.window
    return window is not None and now > first.at + window


def _at_shopee_night(payment: Payment, now: datetime) -> bool:
    here = now.astimezone(JAKARTA)
    minute = here.hour * 60 + here.minute
    return payment.method.bank == "airpay shopee" and (minute >= SHOPEE_NIGHT[0] or minute < SHOPEE_NIGHT[1])
