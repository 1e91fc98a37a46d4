"""Refunds become due in PostgreSQL (the books)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from flashsale.books.rows import insert
from flashsale.models.payment import PaymentAttempt, Refund, new_reference
from flashsale.rules.states import RefundReason, RefundState


def add_refunds(due: Sequence[tuple[PaymentAttempt, RefundReason, Decimal]], now: datetime) -> None:
    """Makes refunds due. Must run in the transaction that makes them necessary."""
    if not due:
        return
    columns: dict[str, Sequence[Any]] = {
        "attempt_id": [attempt.pk for attempt, _, _ in due],
        "reference": [new_reference(attempt.number, kind="fr") for attempt, _, _ in due],
        "amount": [amount for _, _, amount in due],
        "why": [str(why) for _, why, _ in due],
    }
    same = {
        "state": str(RefundState.DUE), "provider_id": "", "detail": "", "times": 0, "next_look_at": now, "made_at": now,
    }  # fmt: skip
    insert(Refund, columns | {name: [value] * len(due) for name, value in same.items()})
