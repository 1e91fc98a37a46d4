"""Checks what payment providers say before it is used, whichever provider says it.

A text that PostgreSQL cannot store would keep money from being settled, and with it the other rows of its batch. A link
that is a script would run on the buyer's page.
"""

import re
from datetime import MAXYEAR, datetime
from decimal import ROUND_DOWN, Decimal, InvalidOperation

from flashsale.providers.payments.base import Instructions, ProviderDown, RefundRequest, RefundStanding, Standing

_LINK = re.compile(r"([a-z][a-z0-9+.\-]*)://\S+", re.IGNORECASE)
# Schemes that a browser runs or reads itself. Any other one opens a page or an app.
_NO_APPS = {"about", "blob", "data", "file", "filesystem", "javascript", "vbscript", "view-source"}
_CENT, _PAID_MAX = Decimal("0.01"), Decimal(10) ** 18
ID_MAX, WHY_MAX, LINK_MAX = 120, 200, 2000
# More payments than any buyer makes for one reference. Each is one call at a look.
PARTS_MAX = 20
# A QR code of the correction level that we draw has room for 2331 bytes. No phone reads such a large one.
QR_BYTES_MAX = 2000
# What came cannot be compared with what we asked. No provider sends money back in it, so people do.
NO_CURRENCY = "???"


def is_link(text: str) -> bool:
    """Whether it is the address of a page or of an app. An address with a script is neither."""
    found = _LINK.fullmatch(text)
    return found is not None and found[1].lower() not in _NO_APPS


def checked_standing(said: Standing) -> Standing:
    """What can be stored of it. Raises ProviderDown for a value that is no amount; then it is asked again."""
    paid = _money(said.paid)
    if paid is None or paid < 0:
        raise ProviderDown(f"the provider names no amount: {said.paid!r}"[:WHY_MAX])
    currency = _text(said.currency, ID_MAX)
    return said._replace(
        provider_id=_text(said.provider_id, ID_MAX),
        paid=paid,
        currency=currency if not currency or len(currency) == 3 else NO_CURRENCY,
        fee=_money(said.fee),
        fingerprint=_fingerprint(said.fingerprint),
        bank_digits=_fingerprint(said.bank_digits),
        instructions=_instructions(said.instructions) if said.instructions else None,
        parts=tuple(_text(part, ID_MAX) for part in said.parts[:PARTS_MAX]),
    )


def checked_refund(said: RefundStanding) -> RefundStanding:
    """What can be stored of it."""
    return said._replace(provider_id=_text(said.provider_id, ID_MAX), why=_text(said.why, WHY_MAX))


def other_amount(said: object, back: RefundRequest) -> str:
    """What is wrong with the amount that a provider names for our refund; "" if it is ours, or no amount."""
    try:
        amount = Decimal(str(said))
    except InvalidOperation:
        return ""
    if not amount.is_finite() or amount == back.amount:
        return ""
    return f"the provider names {amount} for this refund of {back.amount}: look in its dashboard first"[:WHY_MAX]


def _instructions(shown: Instructions) -> Instructions:
    short = {name: _text(text, ID_MAX) for name, text in shown._asdict().items()}
    qr, url, deeplink = (_text(text, LINK_MAX + 1) for text in (shown.qr, shown.url, shown.deeplink))
    return Instructions(**short)._replace(
        expires_at=short["expires_at"] if _is_time(short["expires_at"]) else "",
        qr=qr if len(qr.encode()) <= QR_BYTES_MAX else "",
        url=url if is_link(url) and len(url) <= LINK_MAX else "",
        deeplink=deeplink if is_link(deeplink) and len(deeplink) <= LINK_MAX else "",
    )


def _text(text: object, most: int) -> str:
    """A text that PostgreSQL stores: without the character 0, and without half characters."""
    return str(text or "").replace("\0", "").encode(errors="ignore").decode()[:most]


def _fingerprint(text: str) -> str:
    """The fingerprint; "" for one that is too long. The beginning of it may be that of another card."""
    whole = _text(text, ID_MAX + 1)
    return whole if len(whole) <= ID_MAX else ""


def _money(amount: Decimal | None) -> Decimal | None:
    """The amount in cents, rounded down, so that we never send back more than came; None for what is no amount."""
    # `abs` would round, and raise for an exponent of millions.
    if amount is None or not amount.is_finite() or amount.copy_abs() >= _PAID_MAX:
        return None
    return amount.quantize(_CENT, ROUND_DOWN)


def _is_time(text: str) -> bool:
    """Whether it is a time that each zone can show: "never" is sometimes written as the last second of 9999."""
    try:
        return 1 < datetime.fromisoformat(text).year < MAXYEAR
    except ValueError:
        return False
