"""Stray refunds: money that went back although it was not due any more, or twice. People settle it with the provider.

How it happens. A refund fails, people make a new one, and then the provider confirms the old one after all. Or the
provider takes the money of a payment back while its refund is on the way. Or a refund is withdrawn while its call is
under way.

What is done. Before a refund is sent that replaces another one, the provider is asked about the old one
(`refund.py`). If the old one was sent after all, it counts, and the new one is withdrawn. Where that is too late, the
list of people has the attempt (`PaymentAttempt.doubt`) until one of them has settled it.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from flashsale.books.refunds import withdraw_refunds
from flashsale.life.judge_standing import raise_doubt
from flashsale.models import PaymentAttempt, Record, Refund, Reservation
from flashsale.providers.payments import PartnerProvider
from flashsale.rules import wall_clock
from flashsale.rules.states import AttemptState, MoneyDoubt, RefundState

log = logging.getLogger(__name__)
# No money of these is on its way: they can be withdrawn without a doubt.
_AT_REST = (RefundState.DUE, RefundState.FAILED, RefundState.IMPOSSIBLE)


def _is_at_rest(refund: Refund) -> bool:
    """Whether no money of it can be on its way: it was never asked for, has failed, or is on no list for transfers."""
    account = getattr(refund, "bank_account", None)
    match refund.state:
        case RefundState.DUE:
            return refund.times == 0
        case RefundState.IMPOSSIBLE:
            return account is None or account.listed_at is None
        case _:
            return refund.state == RefundState.FAILED


def note_refund_doubts(attempts: Sequence[PaymentAttempt], now: datetime) -> None:
    """Notes the attempts whose money the provider took back while a refund of it may be on its way. People settle them.

    It changes the attempts, and the caller writes them.
    """
    on_the_way = {row.attempt_id for row in _refunds(attempts).select_related("bank_account") if not _is_at_rest(row)}
    for attempt in attempts:
        if attempt.pk in on_the_way:
            raise_doubt(attempt, MoneyDoubt.REVERSED, now)


def stop_refunds(attempts: Sequence[PaymentAttempt], now: datetime) -> None:
    """Withdraws the refunds of attempts whose money the provider took back, except what may be on its way.

    Must run in the transaction that notes the reversal, after its event.
    """
    withdraw_refunds(_refunds(attempts), now, states=_AT_REST)


def _refunds(attempts: Sequence[PaymentAttempt]) -> "QuerySet[Refund]":
    return Refund.objects.filter(attempt__in=[attempt.pk for attempt in attempts]).exclude(state=RefundState.WITHDRAWN)


def replaced_by(refund: Refund) -> list[Refund]:
    """The earlier refunds that this one replaces, and that the provider may have sent after all.

    The refund must have its attempt with all refunds of it.
    """
    if refund.state != RefundState.DUE or refund.attempt.account == PartnerProvider.account:
        return []
    return [
        row
        for row in refund.attempt.refunds.all()
        if row.pk < refund.pk
        and (row.state, row.why, row.amount) == (RefundState.WITHDRAWN, refund.why, refund.amount)
        and row.times
        and row.astray_at is None
    ]


def count_after_all(row: Refund, becomes: RefundState, now: datetime) -> bool:
    """The provider has sent a refund that is withdrawn, failed, or made by hand. Whether it counts from now on.

    The caller has locked the reservation, and writes the refund. What cannot count is noted, and people settle it.
    """
    later = Refund.objects.select_related("bank_account").filter(attempt=row.attempt_id, why=row.why, amount=row.amount)
    others = [one for one in later.exclude(pk=row.pk).exclude(state=RefundState.WITHDRAWN) if one.pk > row.pk]
    by_hand = row.transferred_by_id is not None or not (row.state == RefundState.WITHDRAWN or _is_at_rest(row))
    replaced = row.state == RefundState.WITHDRAWN and len(others) == 1 and _is_at_rest(others[0])
    if replaced:
        withdraw_refunds(Refund.objects.filter(pk=others[0].pk), now, states=_AT_REST)
    if replaced or (row.state != RefundState.WITHDRAWN and not by_hand):
        log.error("the refund %s is %s after all; it counts", row.reference, becomes)
        row.state = becomes
        return True
    row.astray_at = now
    if row.state == RefundState.IMPOSSIBLE:
        # It leaves the list for transfers. Whether one was made from an earlier list, people have to see.
        row.state = becomes
    attempt = PaymentAttempt.objects.select_for_update().get(pk=row.attempt_id)
    raise_doubt(attempt, MoneyDoubt.REVERSED if attempt.state == AttemptState.REVERSED else MoneyDoubt.REFUND, now)
    attempt.save(update_fields=["doubt", "doubt_at"])
    return row.state == becomes


@transaction.atomic
def note_second_payment(attempt: int) -> None:
    """The provider has money for our reference under another id of its own."""
    owner = PaymentAttempt.objects.values_list("reservation", flat=True).get(pk=attempt)
    Reservation.objects.select_for_update().get(pk=owner)
    row = PaymentAttempt.objects.select_for_update().get(pk=attempt)
    raise_doubt(row, MoneyDoubt.SECOND, wall_clock.now())
    row.save(update_fields=["doubt", "doubt_at"])


@transaction.atomic
def settle_doubt(*, attempt: int, by: Any) -> bool:
    """Notes that a person has settled a doubt about money with the provider or the buyer. False if there is none."""
    owner = PaymentAttempt.objects.values_list("reservation", flat=True).get(pk=attempt)
    order = Reservation.objects.select_for_update(of=("self",)).select_related("sale").get(pk=owner)
    row = PaymentAttempt.objects.select_for_update().get(pk=attempt)
    if not row.doubt:
        return False
    facts = {"payment": row.reference, "doubt": row.doubt}
    row.doubt, row.doubt_at = "", None
    row.save(update_fields=["doubt", "doubt_at"])
    Record.write("settle_doubt", by=by, sale=order.sale, subject=order, facts=facts)
    return True
