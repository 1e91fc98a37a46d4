"""When to ask a provider about an attempt again: soon at first, at its end, and hourly for a day afterwards."""

from datetime import datetime, timedelta

from flashsale.models import PaymentAttempt
from flashsale.providers.payments import PartnerProvider
from flashsale.rules.states import ENDED_UNPAID

# After the start of an attempt, and after its end. In between and for LATE_FOR after its end, an attempt is looked at
# hourly, because a notification may be lost and a bank may be late.
FIRST, SECOND, AFTER_THE_END = timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=2)
HOURLY, LATE_FOR, DAILY = timedelta(hours=1), timedelta(hours=24), timedelta(days=1)
# A partner that charges its own buyers has nothing to tell before its hold ends.
PARTNER = timedelta(minutes=10)


def next_look(attempt: PaymentAttempt, now: datetime) -> datetime | None:
    """The next time to look, None for never.

    An attempt that ended without money is looked at hourly for a day. An open attempt always has a next look: one that
    is still open a day after its end is looked at daily, and is on the list of people (`waiting_money.py`).
    """
    if attempt.account == PartnerProvider.account:
        return now + PARTNER if attempt.is_open else None
    if attempt.is_open:
        return _next_of_open(attempt, now)
    if attempt.state in ENDED_UNPAID and attempt.settled_at and now < attempt.settled_at + LATE_FOR:
        return now + HOURLY
    return None


def _next_of_open(attempt: PaymentAttempt, now: datetime) -> datetime:
    end = attempt.expires_at or attempt.made_at
    times = (attempt.made_at + FIRST, attempt.made_at + SECOND, end, end + AFTER_THE_END)
    regular = now + (HOURLY if now < end + LATE_FOR else DAILY)
    return min([regular, *(at for at in times if at > now)])
