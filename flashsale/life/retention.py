"""Retain: what is kept for a time only is deleted when its time is over."""

from datetime import timedelta

from django.utils import timezone

from flashsale.models import ApiCall, Contact

# Longer than the 24 hours for which a partner may count on a key being known.
API_CALLS_KEPT = timedelta(hours=48)


def forget_due(*, most: int = 1000) -> int:
    """Deletes partners' old keys, and contact data past their clock, at most so many; how many. Safe to repeat."""
    now = timezone.now()
    over = list(Contact.objects.filter(keep_until__lt=now).values_list("pk", flat=True)[:most])
    contacts, _ = Contact.objects.filter(pk__in=over).delete()
    return contacts + ApiCall.forget(before=now - API_CALLS_KEPT)
