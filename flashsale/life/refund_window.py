"""Until when a provider sends money back, and until when people must have decided about an appeal before it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from flashsale.models import Campaign, PaymentAttempt
from flashsale.providers import payments
from flashsale.rules.states import AttemptState

# This long before the end of the window, a refund stops waiting for an appeal, and people decide.
BEFORE_THE_END = timedelta(hours=24)
# Without an end of the window, people look at a waiting refund this long after the time to appeal.
AFTER_THE_APPEAL = timedelta(hours=24)
# People have this long for a new case, even if the time to appeal does not fit into the window any more.
FIRST_LOOK = timedelta(hours=24)


def refund_by(attempt: PaymentAttempt) -> datetime | None:
    """Until when the provider sends the money of this attempt back; None: without a limit.

    It counts from the start of the attempt, because the buyer has not paid before it.
    """
    within = _refund_within(attempt.account, attempt.method)
    return attempt.made_at + within if within is not None else None


def decide_by(attempt: PaymentAttempt, campaign: Campaign, now: datetime) -> datetime:
    """Until when a refund may wait for an appeal without a decision of people."""
    until = refund_by(attempt)
    if until is not None:
        return until - BEFORE_THE_END
    return now + timedelta(seconds=campaign.appeal_s) + AFTER_THE_APPEAL


def decide_cases_by(orders: Collection[UUID], campaign: Campaign, now: datetime) -> dict[UUID, datetime]:
    """Until when people must have decided the cases of these orders, which are opened now.

    After it, the time to undo and the time to appeal no longer fit in before the provider stops sending the money back.
    Where they do not fit in from the start, people still have FIRST_LOOK, but not past the end of the window. Where the
    provider has no limit, the shop has as much time as a buyer has to appeal.
    """
    after = timedelta(seconds=campaign.undo_s + campaign.appeal_s)
    found = {order: now + timedelta(seconds=campaign.appeal_s) for order in orders}
    for attempt in PaymentAttempt.objects.filter(reservation__in=orders, state=AttemptState.PAID):
        until = refund_by(attempt)
        if until is not None:
            last = until - BEFORE_THE_END
            found[attempt.reservation_id] = max(last - after, min(last, now + FIRST_LOOK))
    return found


def _refund_within(account: str, name: str) -> timedelta | None:
    found = payments.accounts.get(account)
    return next((method.refund_within for method in (found.methods() if found else ()) if method.name == name), None)


def methods_with_short_windows(campaign: Campaign) -> list[payments.Method]:
    """The methods whose refund window ends before an appeal is surely decided, each once.

    An appeal that comes in its last moment must be decided BEFORE_THE_END.
    """
    longest = timedelta(seconds=campaign.appeal_s) + BEFORE_THE_END
    names = {channel.payment_accounts or campaign.payment_accounts for channel in campaign.channels.all()}
    offered = {
        method.name: method
        for name in sorted(names)
        for method in payments.methods_of(names=name, test=campaign.is_test)
    }
    return [
        method for method in offered.values() if method.refund_within is not None and method.refund_within < longest
    ]
