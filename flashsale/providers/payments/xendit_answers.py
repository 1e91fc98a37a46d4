"""Reads Xendit's answers. What cannot be read raises ProviderDown, because it says nothing about the money."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flashsale.providers.failures import ProviderDown
from flashsale.providers.http import HttpAnswer
from flashsale.providers.payments.base import Attempt, Instructions, RefundRequest, RefundStanding
from flashsale.providers.payments.checked import other_amount
from flashsale.providers.payments.xendit_words import CHANNELS, CODES, PAYMENT_STATES, REFUND_STATES, STATES, Meaning
from flashsale.rules.states import StandingState

# Xendit's ids are parts of paths, and a notification may name any.
ID = re.compile(r"[A-Za-z0-9-]{1,100}")
# With hidden digits (*, X) it is the same for many people.
WHOLE_ACCOUNT = re.compile(r"\+?[0-9]{6,40}")
# No amount has so many digits. A sum of larger ones could not be computed.
AMOUNT_END = Decimal(10) ** 18
_OK = frozenset({200, 201})
_NO_ENTRY = frozenset({401, 403})
# Addresses that run in our page, or read the buyer's disk.
_NEVER_OPENED = frozenset({"", "javascript", "data", "vbscript", "blob", "file", "about", "http"})


class Error(NamedTuple):
    """An error of Xendit, and what it says in one line."""

    meaning: Meaning
    text: str


class RequestState(NamedTuple):
    """A payment request: its id, its state, and the newest try of the buyer to pay it ("" if there was none)."""

    id: str
    state: StandingState
    payment: str


class Money(NamedTuple):
    """What a payment says: None as state if the state of the request counts. `fingerprint` is that of a wallet."""

    state: StandingState | None
    paid: Decimal
    currency: str
    at: datetime | None
    fingerprint: str = ""


def error_of(answer: HttpAnswer) -> Error | None:
    """What went wrong, None for success. Raises ProviderDown for a code that is not in the tables."""
    if answer.status in _OK:
        return None
    code, message = answer.fields.get("error_code"), answer.fields.get("message")
    text = f"{answer.status} {code}: {message if isinstance(message, str) else ''}"[:200]
    meaning = CODES.get(code) if isinstance(code, str) else None
    if meaning is None and answer.status in _NO_ENTRY:
        # Xendit has many words for what a key or a contract does not allow. It did nothing.
        meaning = Meaning.NEVER
    if meaning is None or meaning is Meaning.NOT_KNOWN:
        raise ProviderDown(f"Xendit answers {text}")
    return Error(meaning, text)


def read_request(fields: Mapping[str, Any], asked: Attempt) -> RequestState:
    """A payment request. Raises ProviderDown for one of another reference."""
    if fields.get("reference_id") != asked.reference:
        raise ProviderDown(f"Xendit's answer about {asked.reference} is about another reference")
    state = _word(STATES, fields.get("status"), "a payment request")
    payment = fields.get("latest_payment_id") or ""
    return RequestState(read_id(fields.get("payment_request_id")), state, read_id(payment) if payment else "")


def read_payment(fields: Mapping[str, Any], request: RequestState, asked: Attempt) -> Money:
    """A payment, with all that was captured. Raises ProviderDown for one of another request."""
    if fields.get("payment_request_id") != request.id or fields.get("reference_id") != asked.reference:
        raise ProviderDown(f"Xendit's payment for {asked.reference} is about another payment request")
    state = _word(PAYMENT_STATES, fields.get("status"), "a payment")
    if state is not StandingState.PAID:
        return Money(state, Decimal(0), "", None)
    captures, currency = fields.get("captures"), fields.get("currency")
    if not isinstance(captures, list) or not captures or not isinstance(currency, str):
        raise ProviderDown("a payment of Xendit succeeded, and does not say with how much")
    rows = [row if isinstance(row, dict) else {} for row in captures]
    times = [at for row in rows if (at := _time(row.get("capture_timestamp")))]
    paid = sum((_amount(row.get("capture_amount")) for row in rows), Decimal(0))
    return Money(state, paid, currency, max(times, default=None), _fingerprint(fields, asked))


def _fingerprint(fields: Mapping[str, Any], asked: Attempt) -> str:
    """Of a wallet: its channel and the payer's account there, if Xendit tells it whole.

    A virtual account may be paid from the account of another person, and at a counter. A QRIS may be paid by any app.
    """
    channel, details = CHANNELS[asked.method], fields.get("payment_details")
    account = details.get("payer_account_number") if isinstance(details, dict) else None
    is_whole = isinstance(account, str) and WHOLE_ACCOUNT.fullmatch(account)
    return f"xendit:{channel.code}:{account}" if is_whole and channel.method.kind == "redirect" else ""


def read_instructions(fields: Mapping[str, Any], asked: Attempt) -> Instructions | None:
    """What the buyer needs to pay; None if the answer has nothing of it. Unsafe addresses are left out.

    The time that it shows is ours, also where Xendit's is later, because the payment is closed when the hold ends.
    """
    channel = CHANNELS[asked.method]
    found: dict[str, str] = {}
    actions = fields.get("actions")
    for action in actions if isinstance(actions, list) else []:
        value = action.get("value") if isinstance(action, dict) else None
        if not isinstance(value, str) or not value:
            continue
        match action.get("descriptor"):
            case "QR_STRING":
                found["qr"] = value
            case "VIRTUAL_ACCOUNT_NUMBER":
                found |= {"number": value, "bank": channel.bank}
            case "WEB_URL" if _scheme(value) == "https":
                found["url"] = value
            case "DEEPLINK_URL" if _scheme(value) not in _NEVER_OPENED:
                found["deeplink"] = value
    if not found:
        return None
    until = asked.expires_at.isoformat() if asked.expires_at else ""
    return Instructions(channel.method.kind, until, **found)


def _scheme(address: str) -> str:
    """The scheme of an address, "" if it has none or cannot be read."""
    try:
        return urlsplit(address).scheme.lower()
    except ValueError:
        return ""


def read_refunds(fields: Mapping[str, Any], reference: str) -> Sequence[Mapping[str, Any]]:
    """The refunds under our reference."""
    rows = fields.get("data")
    if not isinstance(rows, list):
        raise ProviderDown("Xendit's list of refunds cannot be read")
    own = [row for row in rows if isinstance(row, dict) and row.get("reference_id") == reference]
    if not own and fields.get("has_more"):
        raise ProviderDown("Xendit's list of refunds has more pages, so a refund may be missing")
    return own


def read_refund(fields: Mapping[str, Any], back: RefundRequest) -> RefundStanding:
    """One refund. It has failed if its amount is another one than that of `back`."""
    state: Any = _word(REFUND_STATES, fields.get("status"), "a refund")
    why = fields.get("failure_code")
    if state != "failed" and (wrong := other_amount(fields.get("amount"), back)):
        return RefundStanding("failed", read_id(fields.get("id")), wrong)
    return RefundStanding(state, read_id(fields.get("id")), f"Xendit: {why or state}" if state == "failed" else "")


def read_id(value: Any) -> str:
    """An id of Xendit. Raises ProviderDown for a value that is no id."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise ProviderDown("an id of Xendit cannot be read")
    return value


def _word(table: Mapping[str, Any], word: Any, what: str) -> Any:
    if not isinstance(word, str) or word not in table:
        raise ProviderDown(f"Xendit calls {what} {str(word)[:40]!r}, which is not known here")
    return table[word]


def _amount(value: Any) -> Decimal:
    try:
        found = Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    except InvalidOperation:
        found = None
    if found is None or not found.is_finite() or not 0 <= found < AMOUNT_END:
        raise ProviderDown("an amount of Xendit cannot be read")
    return found


def _time(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None
