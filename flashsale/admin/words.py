"""The life's words, times and sums as people read them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = str | Promise

STATES: dict[str, Words] = {
    "draft": _("draft"),
    "scheduled": _("scheduled"),
    "lobby": _("lobby open"),
    "published": _("published"),
    "open": _("open"),
    "paused": _("paused"),
    "closed": _("closed"),
    "called_off": _("called off"),
    "free": _("free"),
    "held": _("held"),
    "sold": _("sold"),
    "returned": _("returned"),
    "confirmed": _("confirmed"),
    "expired": _("expired"),
    "released": _("given back"),
    "cancelled": _("cancelled"),
    "abandoned": _("never came about"),
    "started": _("payment started"),
    "paid": _("paid"),
    "declined": _("declined"),
    "refund_due": _("refund due"),
    "refunded": _("refunded"),
    "refund_failed": _("refund failed"),
    "upheld": _("upheld"),
    "overturned": _("overturned"),
    "restored": _("order restored"),
    "priority": _("first unit of the next sale"),
    "proposed": _("proposed"),
    "approved": _("approved, can be undone"),
    "dismissed": _("dismissed"),
    "due": _("due"),
    "sent": _("sent"),
    "failed": _("failed"),
}


def state(word: str) -> str:
    """A state's name in the reader's language."""
    return str(STATES.get(word, word))


def local(at: datetime | None, zone: ZoneInfo) -> str:
    """A moment in the campaign's zone, which is named: 29 January 2027 10:00 WIB."""
    if at is None:
        return "–"
    there = at.astimezone(zone)
    return f"{date_format(there, 'j F Y H:i:s' if there.second else 'j F Y H:i')} {there.tzname()}"


def money(amount: int, currency: str) -> str:
    """A sum in whole units of a currency."""
    return f"{currency} {number_format(amount, force_grouping=True)}"
