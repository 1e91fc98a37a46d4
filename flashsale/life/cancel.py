"""Cancel: a confirmed order ends, once, under a reason of the catalogue; its units rest in the return pool."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.life.expire import give
from flashsale.life.rebuild import card_of
from flashsale.models import Cancellation, Case, Notice, Payment, Record, Reservation
from flashsale.models.ending import Ended, end, ended_before
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import ReasonCode, reason
from flashsale.rules.states import PaymentState, ReservationState

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


def cancel_locked(row: Reservation, *, code: str, now: datetime, by: Any, case: Case | None = None) -> Ended:
    """The books' part, on a locked reservation in a transaction: order, refund, notice and record change together."""
    if row.state == ReservationState.CANCELLED and row.cancellation.reason == code:
        return ended_before(row)
    if row.state != ReservationState.CONFIRMED:
        raise Refused(Outcome.NOT_CANCELLABLE, f"The reservation is {row.state}.")
    why = reason(code)
    against_wish = why.needs_case and not why.invite
    ended = end(row, state=ReservationState.CANCELLED, now=now, keep_slots=against_wish)
    Cancellation.objects.create(
        reservation=row, case=case, reason=code, at=now,
        appeal_until=now + timedelta(seconds=row.sale.campaign.appeal_s) if why.needs_case else None,
    )  # fmt: skip
    Payment.objects.filter(reservation=row, state=PaymentState.PAID).update(
        state=PaymentState.REFUND_DUE, settled_at=now
    )
    Notice.objects.create(reservation=row, kind=Notice.Kind.CANCELLED, sale=row.sale, due_at=now)
    reviewed = {"case": case.pk, "rules": case.rules_hash, "proposed_by": case.proposed_by_id} if case else {}
    Record.write("cancel", by=by, sale=row.sale, subject=row, why=code, facts={"units": row.quantity, **reviewed})
    return ended


def free_slots(*, most: int = 100) -> int:
    """Gives the limit back where a cancellation by review is final without an appeal; how many. Safe to repeat."""
    final = Cancellation.objects.filter(
        appeal_until__lt=timezone.now(), appealed_at=None, reservation__claims__isnull=False
    ).distinct()[:most]
    done = 0
    for cancellation in final:
        with transaction.atomic():
            row = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign").get(
                pk=cancellation.reservation_id
            )  # fmt: skip
            # The gate counts one less when it hears; until then it is the stricter of the two.
            row.claims.all().delete()
            ended = ended_before(row)
        bridge.run(give(card=card_of(row.sale), ended=ended))
        done += 1
    return done
