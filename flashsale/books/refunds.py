"""Refunds become due in PostgreSQL (the books)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db.models import QuerySet

from flashsale.books.events import of_refund, record
from flashsale.books.rows import insert
from flashsale.models.payment import PaymentAttempt, Refund, new_reference
from flashsale.rules.states import RefundReason, RefundState


class NewRefund(NamedTuple):
    """Money to send back. `refund_by` is until when the provider does it.

    `decide_by` is set while an appeal may restore the order: until then it waits for the appeal, then for people.
    """

    attempt: PaymentAttempt
    why: RefundReason
    amount: Decimal
    refund_by: datetime | None = None
    decide_by: datetime | None = None


def add_refunds(due: Sequence[NewRefund], now: datetime) -> None:
    """Makes refunds due. Must run in the transaction that makes them necessary, and that locks their reservations."""
    due = _not_added(due)
    if not due:
        return
    refunds = [
        Refund(
            attempt=one.attempt, reference=new_reference(one.attempt.number, kind="fr"), amount=one.amount,
            why=str(one.why), state=str(RefundState.DUE), refund_by=one.refund_by, waits=one.decide_by is not None,
            next_look_at=one.decide_by or now, made_at=now,
            sent_currency=one.attempt.paid_currency or one.attempt.currency,
        )
        for one in due
    ]  # fmt: skip
    names = (
        "attempt_id", "reference", "amount", "why", "state", "provider_id", "detail", "times", "next_look_at",
        "refund_by", "waits", "made_at", "sent_currency",
    )  # fmt: skip
    insert(Refund, {name: [getattr(refund, name) for refund in refunds] for name in names})
    record([of_refund(refund) for refund in refunds], now)


def _not_added(due: Sequence[NewRefund]) -> list[NewRefund]:
    """Those that need a row of their own. Too much money that comes again is added to a refund that was never sent."""
    over = [one.attempt for one in due if one.why is RefundReason.OVERPAID and one.attempt.pk]
    if not over:
        return list(due)
    unsent = Refund.objects.select_for_update().filter(
        attempt__in=over, why=RefundReason.OVERPAID, state=RefundState.DUE, times=0
    )
    rows = {row.attempt_id: row for row in unsent}
    for one in due:
        if one.why is RefundReason.OVERPAID and one.attempt.pk in rows:
            rows[one.attempt.pk].amount += one.amount
    Refund.objects.bulk_update(rows.values(), ["amount"])
    return [one for one in due if one.why is not RefundReason.OVERPAID or one.attempt.pk not in rows]


def withdraw_refunds(
    refunds: QuerySet[Refund], now: datetime, *, states: Sequence[RefundState] = (RefundState.DUE, RefundState.FAILED)
) -> bool:
    """Withdraws those of these refunds that are in `states`; whether there are any. Their reservations are locked."""
    open_ones = refunds.filter(state__in=states)
    found = list(open_ones.select_for_update(of=("self",)).select_related("attempt__reservation"))
    for refund in found:
        refund.state, refund.waits, refund.next_look_at, refund.settled_at = RefundState.WITHDRAWN, False, None, now
    Refund.objects.bulk_update(found, ["state", "waits", "next_look_at", "settled_at"])
    record([of_refund(refund) for refund in found], now)
    return bool(found)
