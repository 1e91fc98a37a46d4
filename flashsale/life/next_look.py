"""When to ask a provider about an attempt again: soon at first, at its end, and hourly for a day afterwards."""

from datetime import datetime, timedelta

from flashsale.models import PaymentAttempt
from flashsale.providers.payments import PartnerProvider
from flashsale.rules.states import ENDED_UNPAID, AttemptState

FIRST, SECOND, THEN = timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=10)
LATE, LATE_FOR = timedelta(hours=1), timedelta(hours=24)


def next_look(attempt: PaymentAttempt, now: datetime) -> datetime | None:
    """The next time to look, None for never.

    Money may come for an attempt that has ended, because a bank may be late. A partner that charges its own buyers has
    nothing to tell.
    """
    if attempt.account == PartnerProvider.account:
        return now + THEN if attempt.is_open else None
    if attempt.is_open:
        times = [attempt.made_at + FIRST, attempt.made_at + SECOND, attempt.expires_at]
        return min((at for at in times if at and at > now), default=now + (SECOND if _is_over(attempt, now) else THEN))
    if attempt.state in ENDED_UNPAID and attempt.settled_at and now < attempt.settled_at + LATE_FOR:
        return now + LATE
    return now + timedelta(days=1) if attempt.state == AttemptState.MISMATCH else None


def _is_over(attempt: PaymentAttempt, now: datetime) -> bool:
    return attempt.expires_at is None or attempt.expires_at <= now
