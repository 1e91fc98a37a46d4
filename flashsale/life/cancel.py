"""Cancel: a confirmed order ends once, under a reason of the catalogue.

When its buyer cancels while the sale is running, the units go back to their line and the next person gets them.
Otherwise a few buyers could take the stock out of the sale by paying and cancelling. For the same reason such an order
counts as an unpaid hold of its owner, and two of them are the most in a campaign. In all other cases the units wait in
the return pool.

PostgreSQL (the books) commits the end first; Redis (the gate) is told afterwards.
"""

import time
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Min

from flashsale.books.endings import EndedReservation, describe_ended, end
from flashsale.books.other_writers import OtherWriters
from flashsale.books.refunds import NewRefund, add_refunds
from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge
from flashsale.life.give_back import give_back
from flashsale.life.refund_window import decide_by, refund_by
from flashsale.life.sale_card import card_of
from flashsale.models import Cancellation, Case, Notice, PaymentAttempt, Record, Refund, Reservation, Sale
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import ReasonCode, cancel_reason
from flashsale.rules.states import AttemptState, RefundReason, ReservationState

# The time to appeal ends this long before the planned reallocation, so that appeals can be decided before it.
BEFORE_REALLOCATION = timedelta(hours=12)
# Celery ends a task after a minute.
WORK_FOR_S, AT_ONCE = 20.0, 5000
BUYERS_OWN = frozenset({ReasonCode.BUYER_REQUEST, ReasonCode.PAYMENT_FAILED})


def cancel(*, reservation: uuid.UUID, channel: int, code: str) -> Reservation:
    """Ends a confirmed order because its buyer wishes it, and returns the reservation. Safe to repeat.

    Refuses NOT_FOUND, FORBIDDEN (every other reason needs a case and two people), NOT_CANCELLABLE. Raises GateDown when
    Redis does not answer: the order is cancelled then, and a repeat of the call tells Redis.
    """
    if code not in BUYERS_OWN:
        raise Refused(Outcome.FORBIDDEN, f"Only {' and '.join(sorted(BUYERS_OWN))}; any other reason needs a review.")
    with transaction.atomic():
        rows = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
        row = rows.filter(pk=reservation, channel=channel).first()
        if row is None:
            raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
        ended = cancel_locked(row, code=code, now=wall_clock.now(), by=f"channel:{channel}")
    bridge.run(give_back(card=card_of(row.sale), ended=ended))
    return row


def cancel_locked(row: Reservation, *, code: str, now: datetime, by: Any, case: Case | None = None) -> EndedReservation:
    """The part in PostgreSQL: order, refund, notice and audit record change together.

    The caller holds the lock of the reservation and runs this in a transaction.
    """
    if row.state == ReservationState.CANCELLED and row.cancellation.reason == code:
        return describe_ended(row)
    if row.state != ReservationState.CONFIRMED:
        raise Refused(Outcome.NOT_CANCELLABLE, f"The reservation is {row.state}.")
    why = cancel_reason(code)
    against_wish = why.needs_case and not why.invite
    back_to_line = not why.needs_case and not _is_over(row.sale_id, now)
    ended = end(
        row,
        state=ReservationState.CANCELLED,
        now=now,
        keep_slots=against_wish,
        back_to_line=back_to_line,
        reason=why.code,
    )
    # An order that an appeal restored may end again because its buyer wishes it. Case and appeal keep the history.
    Notice.objects.filter(reservation=row, kind=Notice.Kind.CANCELLED).delete()
    Cancellation.objects.update_or_create(
        reservation=row,
        defaults={
            "case": case,
            "reason": code,
            "at": now,
            "back_to_line": back_to_line,
            # The time to appeal begins when the letter is handed over (`notify`).
            "appeal_until": None,
        },
    )
    # What was paid too much has a refund of its own.
    paid = PaymentAttempt.objects.filter(reservation=row, state=AttemptState.PAID)
    owed = [
        NewRefund(
            attempt,
            RefundReason.CANCELLED,
            Decimal(attempt.amount),
            refund_by(attempt),
            decide_by(attempt, row.sale.campaign, now) if against_wish else None,
        )
        for attempt in paid
    ]
    add_refunds(owed, now)
    Notice.objects.create(reservation=row, kind=Notice.Kind.CANCELLED, sale=row.sale, due_at=now)
    reviewed = {"case": case.pk, "rules": case.rules_hash, "proposed_by": case.proposed_by_id} if case else {}
    Record.write("cancel", by=by, sale=row.sale, subject=row, why=code, facts={"units": row.quantity, **reviewed})
    return ended


def _is_over(sale: int, now: datetime) -> bool:
    """Whether the sale is closed or called off. Keeps it from being closed until the transaction ends."""
    lock_sale(sale)
    row: Sale = Sale.objects.select_related("clock").get(pk=sale)
    return row.is_over(now)


def appeal_end(sale: Sale, now: datetime) -> datetime:
    """The end of a time to appeal that begins now.

    It ends BEFORE_REALLOCATION before the first plan, but not earlier than promised.
    """
    promised = now + timedelta(seconds=sale.campaign.appeal_s)
    planned = sale.reallocations.filter(due_at__gt=now).aggregate(first=Min("due_at"))["first"]
    return max(promised, planned - BEFORE_REALLOCATION) if planned else promised


def make_final(row: Reservation) -> EndedReservation:
    """Makes the cancellation of a locked reservation final: its limit slots are free and its refund may be sent."""
    row.limit_slots.all().delete()
    Refund.objects.filter(attempt__reservation=row, waits=True).update(waits=False, next_look_at=wall_clock.now())
    return describe_ended(row)


def free_limit_slots() -> int:
    """Makes cancellations by review final whose time to appeal ended without an appeal; returns how many.

    It works for about WORK_FOR_S at most. The time to appeal has no end while the buyer was not told. Safe to repeat.
    """
    until, others = time.monotonic() + WORK_FOR_S, OtherWriters()
    over = {"cancellation__appeal_until__lt": wall_clock.now(), "case__appeal": None}
    final = Reservation.restorable().filter(**over).distinct()
    done = 0
    for id_ in list(final.values_list("pk", flat=True)[:AT_ONCE]):
        if time.monotonic() > until:
            break
        with transaction.atomic():
            locked = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
            # We check again under the lock, because an appeal may have come in the last moment.
            row = locked.filter(pk=id_, **over).first()
            ended = make_final(row) if row else None
        if row and ended:
            # Until Redis is told, it still counts the units, so it is stricter than PostgreSQL and never too generous.
            bridge.run(give_back(card=card_of(row.sale), ended=ended))
            done += 1
        others.let_in()
    return done
