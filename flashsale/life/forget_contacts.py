"""Forget: the address of a person who bought nothing is deleted as soon as no letter and no money needs it."""

from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from flashsale.models import Contact, Notice, PaymentAttempt, Refund
from flashsale.rules.states import OPEN_ATTEMPTS, UNPAID_REFUNDS, AttemptState, NoticeState

# So long staff can correct the address of a letter that failed.
FAILED_LETTERS_WAIT = timedelta(days=7)


def waits_for_letter() -> Exists:
    """Selects contacts to which a letter is due, or has failed lately."""
    failed = Q(state=NoticeState.FAILED, due_at__gt=timezone.now() - FAILED_LETTERS_WAIT)
    return Exists(Notice.objects.filter(Q(state=NoticeState.DUE) | failed, reservation=OuterRef("reservation")))


def money_is_unsettled() -> Q:
    """Selects contacts whose buyers may still pay, or whose money is with us."""
    undecided = Q(state=AttemptState.MISMATCH, refunds=None)
    attempts = PaymentAttempt.objects.filter(
        Q(state__in=OPEN_ATTEMPTS) | undecided, reservation=OuterRef("reservation")
    )
    owed = Refund.objects.filter(attempt__reservation=OuterRef("reservation"), state__in=UNPAID_REFUNDS)
    return Q(Exists(attempts)) | Q(Exists(owed))


def forget_unneeded(*, reservation: UUID | None = None) -> int:
    """Deletes the contacts of reservations that bought nothing, once nothing needs them; how many. Safe to repeat.

    Needed are: an attempt to pay that is under way, money of the buyer that is with us, a letter that is not sent. A
    payment that starts at this moment writes its contact and its attempt in one transaction, so both are seen, or
    neither.
    """
    contacts = Contact.objects.filter(reservation__confirmed_at=None)
    if reservation is not None:
        contacts = contacts.filter(reservation=reservation)
    return contacts.exclude(money_is_unsettled()).exclude(waits_for_letter()).delete()[0]
