"""Retention: deletes data whose time to keep is over."""

from datetime import timedelta

from django.contrib.sessions.models import Session
from django.utils import timezone

from flashsale.life import settlement
from flashsale.life.bank_account import forget_accounts
from flashsale.life.erase_person import carry_on
from flashsale.life.events import KEPT, forget_events
from flashsale.life.forget_contacts import forget_unneeded, money_is_unsettled
from flashsale.life.inbox import forget_notifications
from flashsale.life.trail_keys import forget_old_keys
from flashsale.life.webhooks import forget_deliveries
from flashsale.models import ApiCall, Contact

# Longer than 24 hours. For so long a partner may rely on its idempotency keys.
API_CALLS_KEPT = timedelta(hours=48)


def forget_due(*, most: int = 1000) -> int:
    """Deletes contact data past `keep_until`, old events and deliveries (at most `most` rows of each), contact data
    of people who bought nothing, old keys and notifications, and ended sessions. Goes on with approved erasures.

    Contact data of a buyer whose money is not settled is kept until it is. Bank accounts for refunds have a time of
    their own. No event is deleted while an old one is in no settlement. Safe to repeat. Returns how many rows of all.
    """
    now = timezone.now()
    old = Contact.objects.filter(keep_until__lt=now).exclude(money_is_unsettled())
    over = list(old.values_list("pk", flat=True)[:most])
    contacts, _ = Contact.objects.filter(pk__in=over).delete()
    sessions, _ = Session.objects.filter(expire_date__lte=now).delete()
    events = 0 if settlement.lags_behind(before=now - KEPT) else forget_events(most=most)
    forgotten = events + forget_notifications() + ApiCall.forget(before=now - API_CALLS_KEPT)
    forgotten += forget_deliveries(most=most) + forget_old_keys() + carry_on()
    return contacts + forget_unneeded() + forget_accounts(most=most) + sessions + forgotten
