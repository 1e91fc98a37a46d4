"""Refunds become due in PostgreSQL (the books)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

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
    """Makes refunds due. Must run in the transaction that makes them necessary."""
    if not due:
        return
    columns: dict[str, Sequence[Any]] = {
        "attempt_id": [one.attempt.pk for one in due],
        "reference": [new_reference(one.attempt.number, kind="fr") for one in due],
        "amount": [one.amount for one in due],
        "why": [str(one.why) for one in due],
        "refund_by": [one.refund_by for one in due],
        "waits": [one.decide_by is not None for one in due],
        "next_look_at": [one.decide_by or now for one in due],
    }
    same = {"state": str(RefundState.DUE), "provider_id": "", "detail": "", "times": 0, "made_at": now}
    insert(Refund, columns | {name: [value] * len(due) for name, value in same.items()})
