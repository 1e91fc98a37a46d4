"""The life's words, times and sums as people read them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.formats import date_format, number_format

from flashsale.models.state_choices import STATE_LABELS


def state(word: str) -> str:
    """A state's name in the reader's language."""
    return str(STATE_LABELS.get(word, word))


def local(at: datetime | None, zone: ZoneInfo) -> str:
    """A moment in the campaign's zone, which is named: 29 January 2027 10:00 WIB."""
    if at is None:
        return "–"
    there = at.astimezone(zone)
    return f"{date_format(there, 'j F Y H:i:s' if there.second else 'j F Y H:i')} {there.tzname()}"


def money(amount: int, currency: str) -> str:
    """A sum in whole units of a currency."""
    return f"{currency} {number_format(amount, force_grouping=True)}"
