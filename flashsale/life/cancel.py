"""Cancel: a confirmed order ends, once, under a reason of the catalogue; its units rest in the return pool."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from flashsale.books.endings import EndedReservation, end, ended_before
from flashsale.gate import bridge
from flashsale.life.give_back import give
from flashsale.life.sale_card import card_of
from flashsale.models import Cancellation, Case, Notice, Payment, Record, Reservation, Sale
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import ReasonCode, cancel_reason
from flashsale.rules.states import PaymentState, ReservationState

# The time to appeal ends so long before the planned reallocation, so that appeals can be decided by then.
BEFORE_REALLOCATION = timedelta(hours=12)
BUYERS_OWN = frozenset({ReasonCode.BUYER_REQUEST, ReasonCode.PAYMENT_FAILED})


def cancel(*, reservation: uuid.UUID, channel: int, code: str) -> Reservation:
    """Ends a confirmed order at its buyer's wish; safe to repeat.

    Refuses NOT_FOUND, FORBIDDEN (any other reason needs a case and two people), NOT_CANCELLABLE. Raises GateDown when
    the gate does not answer: the order is cancelled then, and repeating the call tells the gate.
    """
    if code not in BUYERS_OWN:
        raise Refused(Outcome.FORBIDDEN, f"Only {' and '.join(sorted(BUYERS_OWN))}; anything else is for the review.")
    with transaction.atomic():
        row = (
            Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
            .filter(pk=reservation, channel=channel).first()
        )  # fmt: skip
        if row is None:
            raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
        ended = cancel_locked(row, code=code, now=timezone.now(), by=f"channel:{channel}")
    bridge.run(give(card=card_of(row.sale), ended=ended))
    return row


def cancel_locked(row: Reservation, *, code: str, now: datetime, by: Any, case: Case | None = None) -> EndedReservation:
    """The books' part, on a locked reservation in a transaction: order, refund, notice and record change together."""
    if row.state == ReservationState.CANCELLED and row.cancellation.reason == code:
        return ended_before(row)
    if row.state != ReservationState.CONFIRMED:
        raise Refused(Outcome.NOT_CANCELLABLE, f"The reservation is {row.state}.")
    why = cancel_reason(code)
    against_wish = why.needs_case and not why.invite
    ended = end(row, state=ReservationState.CANCELLED, now=now, keep_slots=against_wish)
    # An order restored after an appeal may end again, at its buyer's wish; case and appeal keep what was before.
    Notice.objects.filter(reservation=row, kind=Notice.Kind.CANCELLED).delete()
    Cancellation.objects.update_or_create(
        reservation=row,
        defaults={
            "case": case, "reason": code, "at": now,
            "appeal_until": _appeal_until(row.sale, now) if why.needs_case else None,
        },
    )  # fmt: skip
    Payment.objects.filter(reservation=row, state=PaymentState.PAID).update(
        state=PaymentState.REFUND_DUE, settled_at=now
    )
    Notice.objects.create(reservation=row, kind=Notice.Kind.CANCELLED, sale=row.sale, due_at=now)
    reviewed = {"case": case.pk, "rules": case.rules_hash, "proposed_by": case.proposed_by_id} if case else {}
    Record.write("cancel", by=by, sale=row.sale, subject=row, why=code, facts={"units": row.quantity, **reviewed})
    return ended


def _appeal_until(sale: Sale, now: datetime) -> datetime:
    """As long before the planned reallocation as deciding takes, and never shorter than the campaign promises."""
    promised = now + timedelta(seconds=sale.campaign.appeal_s)
    planned = sale.reallocations.filter(due_at__gt=now).aggregate(first=Min("due_at"))["first"]
    return max(promised, planned - BEFORE_REALLOCATION) if planned else promised


def let_go(row: Reservation) -> EndedReservation:
    """A cancellation is final: the books give the limit back, and the refund may go. On a locked reservation."""
    row.limit_slots.all().delete()
    return ended_before(row)


def free_slots(*, most: int = 100) -> int:
    """Gives the limit back where a cancellation by review is final without an appeal; how many. Safe to repeat."""
    over = {"cancellation__appeal_until__lt": timezone.now(), "case__appeal": None}
    final = Reservation.contestable().filter(**over).distinct()
    done = 0
    for id_ in list(final.values_list("pk", flat=True)[:most]):
        with transaction.atomic():
            locked = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
            # Looked at again under the lock: an appeal may have come in the last moment.
            row = locked.filter(pk=id_, **over).first()
            ended = let_go(row) if row else None
        if row and ended:
            # The gate counts one less when it hears; until then it is the stricter of the two.
            bridge.run(give(card=card_of(row.sale), ended=ended))
            done += 1
    return done
