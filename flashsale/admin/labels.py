"""States and times as the admin shows them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.utils.formats import date_format

from flashsale.models import Notice
from flashsale.models.state_choices import STATE_LABELS


def state_label(state: str) -> str:
    """The name of a state in the reader's language; the stored value if it has no label."""
    return str(STATE_LABELS.get(state, state))


def failure_text(letter: Notice) -> str:
    """Why a letter did not arrive, with the code of the mail server; "" if nothing says so."""
    if not letter.failure:
        return ""
    return state_label(letter.failure) + (f" (SMTP {letter.smtp_code})" if letter.smtp_code else "")


def staff_name(who: str) -> str:
    """The user name for an actor of the audit trail such as "staff:3"; the actor itself if it is no known user."""
    kind, _colon, pk = who.partition(":")
    user = get_user_model().objects.filter(pk=pk).first() if kind == "staff" else None
    return user.get_username() if user else who


def local_time(at: datetime | None, zone: ZoneInfo) -> str:
    """A time in `zone`, with the zone's name: 29 January 2027 10:00 WIB. Seconds only if they are not 0."""
    if at is None:
        return "–"
    there = at.astimezone(zone)
    return f"{date_format(there, 'j F Y H:i:s' if there.second else 'j F Y H:i')} {there.tzname()}"
