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
    MoneyDoubt,
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

    `was` is the state of the attempt before. `retaken`: the order had expired, and its late money buys it. `more`: the
    attempt has got more money, and its state stays.
    `said` is what the provider says about money that buys.
    """

    row: Reservation
    attempt: PaymentAttempt
    buys: bool = False
    drops: bool = False
    refunds: tuple[tuple[RefundReason, Decimal], ...] = ()
    was: str = ""
    retaken: bool = False
    more: bool = False
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
    undecided = attempt.state == AttemptState.MISMATCH and attempt.refund is None
    if standing.currency != (attempt.paid_currency or attempt.currency):
        return _other_currency(row, attempt, standing, now, undecided=undecided)
    if standing.paid <= before:
        return None
    log.error("%s got %s before and has %s now", attempt.reference, before, standing.paid)
    _count(attempt, standing)
    if undecided:
        attempt.next_look_at = now + PEOPLE
        return Change(row, attempt, more=True)
    # Where people have sent wrong money back already, what comes after it goes back, too.
    return Change(row, attempt, refunds=((RefundReason.OVERPAID, standing.paid - before),), more=True)


def _other_currency(
    row: Reservation, attempt: PaymentAttempt, standing: payments.Standing, now: datetime, *, undecided: bool
) -> Change | None:
    """The provider names another currency than before. Amounts of two currencies cannot be compared, so people act.

    They decide about what the provider says now. Where money has bought an order or went back, they ask the provider.
    """
    if attempt.doubt == MoneyDoubt.CURRENCY:
        return None
    log.error(
        "%s got %s %s before, and the provider says %s %s now", attempt.reference,
        attempt.paid_currency or attempt.currency, attempt.paid, standing.currency, standing.paid,
    )  # fmt: skip
    if undecided:
        _count(attempt, standing)
        attempt.next_look_at = now + PEOPLE
    else:
        raise_doubt(attempt, MoneyDoubt.CURRENCY, now)
    return Change(row, attempt)


def raise_doubt(attempt: PaymentAttempt, doubt: MoneyDoubt, now: datetime) -> None:
    """Puts an attempt on the list of people. An attempt that is on the list keeps its date."""
    log.error("people have to settle %s with its provider: %s", attempt.reference, doubt)
    attempt.doubt, attempt.doubt_at = doubt, attempt.doubt_at or now


def _count(attempt: PaymentAttempt, standing: payments.Standing) -> None:
    """Notes the money that the provider has."""
    attempt.paid = standing.paid
    attempt.paid_currency = standing.currency if standing.currency != attempt.currency else ""
    attempt.parts = sorted({*(attempt.parts or ()), *standing.parts}) or None


def _money_again(row: Reservation, attempt: PaymentAttempt, standing: payments.Standing, now: datetime) -> Change:
    """The provider gives back what it took back, or it was wrong. The money counts as before, or people decide.

    It counts for the order that it bought. Elsewhere a refund of it may have been withdrawn, or may be on its way.
    """
    log.error("%s was taken back and is paid again", attempt.reference)
    bought = row.state == ReservationState.CONFIRMED and _is_exact(attempt, standing) and _is_last(row, attempt)
    _note(attempt, standing, AttemptState.PAID if bought else AttemptState.MISMATCH, now)
    if attempt.doubt == MoneyDoubt.REVERSED:
        attempt.doubt, attempt.doubt_at = "", None
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
            _count(attempt, standing)
    attempt.turn_at = None
    people = state in {AttemptState.MISMATCH, AttemptState.REVERSED}
    attempt.next_look_at = now + PEOPLE if people else next_look(attempt, now)
