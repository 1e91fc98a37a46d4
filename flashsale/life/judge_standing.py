"""Judge: what the answer of a provider changes about an attempt. The drawing of the states is in `settle.py`."""

import logging
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from flashsale.life.next_look import next_look
from flashsale.models import PaymentAttempt, Reservation
from flashsale.providers import payments
from flashsale.rules.states import (
    ENDED_UNPAID,
    AttemptState,
    RefundReason,
    RefundState,
    ReservationState,
    StandingState,
)

log = logging.getLogger(__name__)
# A person must look within this time at money that is not what we asked for.
PEOPLE = timedelta(days=1)
# Money that is with the provider for us.
_KEPT = (AttemptState.PAID, AttemptState.LATE, AttemptState.MISMATCH)


class Change(NamedTuple):
    """An attempt that changes. `buys`: its order is confirmed. `drops`: what its buyer told us is deleted.

    `was` is the state of the attempt before. `retaken`: the order had expired, and its late money buys it.
    `said` is what the provider says about money that buys.
    """

    row: Reservation
    attempt: PaymentAttempt
    buys: bool = False
    drops: bool = False
    refunds: tuple[tuple[RefundReason, Decimal], ...] = ()
    was: str = ""
    retaken: bool = False
    said: payments.Standing | None = None


def _is_exact(attempt: PaymentAttempt, standing: payments.Standing) -> bool:
    return standing.currency == attempt.currency and standing.paid >= attempt.amount


def is_late(row: Reservation, attempt: PaymentAttempt, standing: payments.Standing) -> bool:
    paid = standing.state is StandingState.PAID and _is_exact(attempt, standing)
    return paid and attempt.is_open and row.state == ReservationState.EXPIRED


def judge_standing(
    row: Reservation, attempt: PaymentAttempt, standing: payments.Standing, now: datetime
) -> Change | None:
    """What an answer changes, or None. It changes the objects, and PostgreSQL is written by `_write`."""
    was_open = attempt.is_open
    if standing.state is StandingState.PAID and (was_open or attempt.state in ENDED_UNPAID):
        return take_money(row, attempt, standing, now)
    if standing.state is StandingState.PAID:
        again = _more_money if attempt.state in _KEPT else _money_again
        return again(row, attempt, standing, now)
    if standing.state is StandingState.REVERSED and attempt.state in _KEPT:
        log.error("the provider took the money of %s back", attempt.reference)
        _note(attempt, standing, AttemptState.REVERSED, now)
        return Change(row, attempt)
    if not was_open or standing.state is StandingState.UNKNOWN:
        return None
    if standing.state in {StandingState.WAITING, StandingState.REVIEW}:
        _note(attempt, standing, AttemptState(standing.state), now)
        return Change(row, attempt)
    ended = AttemptState.FAILED if standing.state is StandingState.REVERSED else AttemptState(standing.state)
    _note(attempt, standing, ended, now)
    return Change(row, attempt, drops=True)


def _more_money(row: Reservation, attempt: PaymentAttempt, standing: payments.Standing, now: datetime) -> Change | None:
    """A reference that has got money gets more, because a buyer pays twice. What is too much goes back."""
    before = attempt.paid or Decimal(0)
    if standing.currency != (attempt.paid_currency or attempt.currency) or standing.paid <= before:
        return None
    log.error("%s got %s before and has %s now", attempt.reference, before, standing.paid)
    attempt.paid = standing.paid
    if attempt.state == AttemptState.MISMATCH and attempt.refund is None:
        attempt.next_look_at = now + PEOPLE
        return Change(row, attempt)
    # Where people have sent wrong money back already, what comes after it goes back, too.
    return Change(row, attempt, refunds=((RefundReason.OVERPAID, standing.paid - before),))


def _money_again(row: Reservation, attempt: PaymentAttempt, standing: payments.Standing, now: datetime) -> Change:
    """The provider gives back what it took back, or it was wrong. The money counts as before, or people decide.

    It counts for the order that it bought. Elsewhere a refund of it may have been withdrawn, or may be on its way.
    """
    log.error("%s was taken back and is paid again", attempt.reference)
    bought = row.state == ReservationState.CONFIRMED and _is_exact(attempt, standing) and _is_last(row, attempt)
    _note(attempt, standing, AttemptState.PAID if bought else AttemptState.MISMATCH, now)
    sent = attempt.refunds.filter(why=RefundReason.OVERPAID).exclude(state=RefundState.WITHDRAWN)
    over = standing.paid - attempt.amount - sum((one.amount for one in sent), Decimal(0))
    return Change(row, attempt, refunds=((RefundReason.OVERPAID, over),) if bought and over > 0 else ())


def _is_last(row: Reservation, attempt: PaymentAttempt) -> bool:
    """Whether it is the attempt that bought the order: no attempt starts after that."""
    return not PaymentAttempt.objects.filter(reservation=row, number__gt=attempt.number).exists()


def take_money(row: Reservation, attempt: PaymentAttempt, standing: payments.Standing, now: datetime) -> Change:
    was_open, over = attempt.is_open, standing.paid - attempt.amount
    if not _is_exact(attempt, standing):
        log.error("%s asked %s %s and got %s %s", attempt.reference, attempt.currency, attempt.amount,
                  standing.currency, standing.paid)  # fmt: skip
        _note(attempt, standing, AttemptState.MISMATCH, now)
        return Change(row, attempt, drops=was_open)
    if not was_open:
        log.error("%s was %s and has been paid", attempt.reference, attempt.state)
    if was_open and row.state == ReservationState.HELD:
        _note(attempt, standing, AttemptState.PAID, now)
        too_much = ((RefundReason.OVERPAID, over),) if over else ()
        return Change(row, attempt, buys=True, refunds=too_much, said=standing)
    _note(attempt, standing, AttemptState.LATE, now)
    return Change(row, attempt, drops=was_open, refunds=((RefundReason.LATE, standing.paid),))


def _note(attempt: PaymentAttempt, standing: payments.Standing, state: AttemptState, now: datetime) -> None:
    """Sets the attempt's fields to what the provider says."""
    attempt.state = state
    attempt.provider_id = standing.provider_id or attempt.provider_id
    attempt.fee = standing.fee if standing.fee is not None else attempt.fee
    if attempt.is_open:
        if standing.instructions:
            attempt.instructions = standing.instructions._asdict()
    else:
        attempt.instructions, attempt.settled_at = None, now
        if state in _KEPT:
            attempt.paid = standing.paid
            attempt.paid_currency = standing.currency if standing.currency != attempt.currency else ""
    attempt.turn_at = None
    people = state in {AttemptState.MISMATCH, AttemptState.REVERSED}
    attempt.next_look_at = now + PEOPLE if people else next_look(attempt, now)
