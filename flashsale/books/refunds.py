"""Refunds become due in PostgreSQL (the books)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from flashsale.books.events import of_refund, record
from flashsale.books.rows import insert
from flashsale.models.payment import PaymentAttempt, Refund, new_reference
from flashsale.rules.states import RefundReason, RefundState


def add_refunds(due: Sequence[tuple[PaymentAttempt, RefundReason, Decimal]], now: datetime) -> None:
    """Makes refunds due. Must run in the transaction that makes them necessary, and that locks their reservations."""
    if not due:
        return
    refunds = [
        Refund(
            attempt=attempt, reference=new_reference(attempt.number, kind="fr"), amount=amount, why=str(why),
            state=str(RefundState.DUE), next_look_at=now, made_at=now,
        )
        for attempt, why, amount in due
    ]  # fmt: skip
    names = (
        "attempt_id", "reference", "amount", "why", "state", "provider_id", "detail", "times", "next_look_at",
        "made_at",
    )  # fmt: skip
    insert(Refund, {name: [getattr(refund, name) for refund in refunds] for name in names})
    record([of_refund(refund) for refund in refunds], now)


def withdraw_refunds(refunds: QuerySet[Refund], now: datetime) -> bool:
    """Withdraws those of these refunds that are due; whether there are any. Their reservations are locked."""
    due = list(
        refunds.filter(state=RefundState.DUE).select_for_update(of=("self",)).select_related("attempt__reservation")
    )
    for refund in due:
        refund.state, refund.next_look_at, refund.settled_at = RefundState.WITHDRAWN, None, now
    Refund.objects.bulk_update(due, ["state", "next_look_at", "settled_at"])
    record([of_refund(refund) for refund in due], now)
    return bool(due)
