"""Forget: the address of a person who bought nothing is deleted as soon as no letter and no money needs it."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from flashsale.life.next_look import LATE_FOR
from flashsale.models import Contact, Notice, PaymentAttempt, Refund
from flashsale.rules.states import (
    ENDED_UNPAID,
    OPEN_ATTEMPTS,
    UNPAID_REFUNDS,
    AttemptState,
    NoticeState,
    RefundReason,
    RefundState,
)

# So long staff can correct the address of a letter that failed.
FAILED_LETTERS_WAIT = timedelta(days=7)


def waits_for_letter() -> Exists:
    """Selects contacts to which a letter is due, or has failed lately."""
    failed = Q(state=NoticeState.FAILED, due_at__gt=timezone.now() - FAILED_LETTERS_WAIT)
    return Exists(Notice.objects.filter(Q(state=NoticeState.DUE) | failed, reservation=OuterRef("reservation")))


def is_undecided() -> Q:
    """Selects attempts whose money people have to decide about. Too much money that went back decides nothing."""
    sent_back = Refund.objects.filter(attempt=OuterRef("pk")).exclude(why=RefundReason.OVERPAID)
    return Q(~Exists(sent_back.exclude(state=RefundState.WITHDRAWN)), state=AttemptState.MISMATCH)


def is_unsettled(now: datetime) -> Q:
    """Selects attempts that may still be paid, or whose money waits for people or for a refund.

    Money may come for a day after the end of an attempt. The provider is asked for it, and it has to go back.
    """
    late = Q(state__in=ENDED_UNPAID, next_look_at__isnull=False, settled_at__gt=now - LATE_FOR)
    owed = Exists(Refund.objects.filter(attempt=OuterRef("pk"), state__in=UNPAID_REFUNDS))
    return Q(state__in=OPEN_ATTEMPTS) | late | is_undecided() | ~Q(doubt="") | Q(owed)


def money_is_unsettled() -> Exists:
    """Selects contacts whose buyers may still pay, or whose money is with us."""
    own = PaymentAttempt.objects.filter(is_unsettled(timezone.now()), reservation=OuterRef("reservation"))
    return Exists(own)


def forget_unneeded(*, reservation: UUID | None = None) -> int:
    """Deletes the contacts of reservations that bought nothing, once nothing needs them; how many. Safe to repeat.

    Needed are: an attempt to pay that is under way or has ended in the last day, money of the buyer that is with us, a
    letter that is not sent. A payment that starts at this moment writes its contact and its attempt in one transaction,
    so both are seen, or neither.
    """
    contacts = Contact.objects.filter(reservation__confirmed_at=None)
    if reservation is not None:
        contacts = contacts.filter(reservation=reservation)
    return contacts.exclude(money_is_unsettled()).exclude(waits_for_letter()).delete()[0]
