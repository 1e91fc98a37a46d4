"""Settle: what a provider says about an attempt takes effect once: the order is confirmed, or the money goes back.

How this works. Four callers bring a standing: `confirm`, the inbox of notifications, and the sweeps of holds that have
ended and of attempts that are due for a look. A standing may come in time, late, twice, or from two processes at once.
PostgreSQL (the books) decides under the lock of the reservation's row, many rows in one transaction, so a standing that
comes again changes nothing.

    attempt      standing, and where the reservation is              becomes
    ---------    ------------------------------------------------    --------------------------------------
    open         waiting or review                                   waiting or review, with instructions
    open         failed, expired or closed                           the same
    open         paid, held (perhaps past its deadline)              paid; the reservation is confirmed
    open         paid, expired: retake its units                     paid and confirmed, or else late
    open         paid, ended in any other way                        late
    ended        paid after all                                      late
    open/ended   paid, but too little or in another currency         mismatch: people decide
    paid         reversed                                            reversed: the shop waits, people decide
    any other    any                                                 no change

                 +--------------> failed, expired, closed --------+
                 | not paid                        paid after all |
                 |                                                v
    asked -> waiting -- paid, too late or not retaken ----------> late ---> a refund of it is due
                 |
                 +-- paid, in time or retaken -------------------> paid ---> reversed
                 |                                                 (too much: a refund of the rest is due)
                 +-- another amount or currency -----------------> mismatch

Retake means: the hold has expired, its units were offered again, and then its money comes. Redis (the gate) takes the
same units once more if they are still free, if no person who was called needs them, and if the limit still allows it.
Only then does PostgreSQL confirm.

Money that goes back is a row of its own: `refund.py` sends it. A cancellation makes the refund of a paid attempt due
(`cancel.py`), and an appeal that is won withdraws it (`appeal.py`).
"""

import logging
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from flashsale.books.batcher import Batcher
from flashsale.books.refunds import NewRefund, add_refunds
from flashsale.books.reservations import RefusedByBooks, advance_units, claim_slots, lock_sale
from flashsale.books.rows import update
from flashsale.gate import scripts
from flashsale.gate.client import GateDown
from flashsale.gate.held_request import HeldRequest
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.held_request import request_to_retake
from flashsale.life.next_look import next_look
from flashsale.life.refund_window import refund_by
from flashsale.life.sale_card import card_of
from flashsale.life.start_payment import axes_of, slot_requests
from flashsale.models import (
    Contact,
    LimitSlot,
    PaymentAttempt,
    Refund,
    Reservation,
    ReservationUnit,
    Sale,
    Trait,
    Unit,
)
from flashsale.providers import payments
from flashsale.rules.outcomes import RETRYABLE, Outcome, Refused
from flashsale.rules.states import (
    ENDED_UNPAID,
    AttemptState,
    RefundReason,
    RefundState,
    ReservationState,
    SaleState,
    StandingState,
    UnitState,
)

log = logging.getLogger(__name__)
# So long Redis keeps retaken units, until PostgreSQL has committed them. Much longer than a commit takes.
RETAKE_KEEP_MS = 10_000
# By when a person must have looked at money that is not what we asked for.
PEOPLE = timedelta(days=1)


class Answer(NamedTuple):
    """What a provider says about the attempt with this reference."""

    reference: str
    standing: payments.Standing


class Settled(NamedTuple):
    """A reservation and its attempt after an answer. `is_late`: its money can only buy units that Redis retakes."""

    row: Reservation
    attempt: PaymentAttempt
    is_late: bool = False


async def settle(*, reference: str, standing: payments.Standing) -> Settled:
    """Applies what the provider says about a reference. Safe to repeat and to run in parallel; many share one commit.

    Refuses NOT_FOUND (no such reference) and UNKNOWN (also while the sale is paused), and raises GateDown. Repeat the
    call then; the sweep repeats it too.

    1. PostgreSQL decides every case that is not late. If the process dies after this step, a repeat changes nothing.
    2. Late money: Redis retakes the units. If the process dies after this step, the units come due in Redis and are
       given back; a repeat of the call goes on from here.
    3. PostgreSQL confirms the order, or notes that a refund is due.
    4. Redis learns that the order is confirmed. If the process dies before this step, mending tells it.
    """
    settled = await _settling.ask(Answer(reference, standing))
    if settled.is_late:
        settled = await _settle_late(settled, standing)
    if settled.row.state == ReservationState.CONFIRMED:
        await tell_gate(settled.row)
    return settled


def settle_all(answers: Sequence[Answer]) -> list[Settled | Exception]:
    """The result for each answer, or its refusal. Answers about one reservation are settled one after the other."""
    known = PaymentAttempt.objects.filter(reference__in={answer.reference for answer in answers})
    owners = dict(known.values_list("reference", "reservation_id"))
    results: dict[int, Settled | Exception] = {}
    waiting = list(enumerate(answers))
    while waiting:
        batch: list[tuple[int, Answer]] = []
        later: list[tuple[int, Answer]] = []
        seen: set[uuid.UUID] = set()
        for at, answer in waiting:
            owner = owners.get(answer.reference)
            if owner is None:
                results[at] = Refused(Outcome.NOT_FOUND, "There is no payment with this reference.")
                continue
            (later if owner in seen else batch).append((at, answer))
            seen.add(owner)
        settled = _settle_batch([answer for _, answer in batch], owners)
        results |= {at: result for (at, _), result in zip(batch, settled, strict=True)}
        waiting = later
    return [results[at] for at in range(len(answers))]


def _settle_batch(answers: Sequence[Answer], owners: Mapping[str, uuid.UUID]) -> "list[Settled | Exception]":
    try:
        return list(_decide(answers, owners))
    except (IntegrityError, RefusedByBooks):
        return [_settle_alone(answer, owners) for answer in answers]


def _settle_alone(answer: Answer, owners: Mapping[str, uuid.UUID]) -> Settled | Exception:
    try:
        return _decide([answer], owners)[0]
    except (IntegrityError, RefusedByBooks) as error:
        # The money is not lost: the attempt stays open, and the sweep comes back to it.
        log.exception("what the provider says about %s cannot be written", answer.reference)
        return error


_settling: Batcher[Answer, Settled] = Batcher("settle-payments", settle_all)


class _Change(NamedTuple):
    """An attempt that changes. `buys`: its order is confirmed. `drops`: what its buyer told us is deleted."""

    row: Reservation
    attempt: PaymentAttempt
    buys: bool = False
    drops: bool = False
    refunds: tuple[tuple[RefundReason, Decimal], ...] = ()


def _decide(answers: Sequence[Answer], owners: Mapping[str, uuid.UUID]) -> list[Settled]:
    now = timezone.now()
    with transaction.atomic():
        rows = _lock_rows({owners[answer.reference] for answer in answers})
        locked = PaymentAttempt.objects.select_for_update().order_by("pk")
        attempts = locked.in_bulk([answer.reference for answer in answers], field_name="reference")
        settled, changes = [], []
        for reference, standing in answers:
            row, attempt = rows[owners[reference]], attempts[reference]
            attempt.reservation = row
            if _is_late(row, attempt, standing):
                settled.append(Settled(row, attempt, is_late=True))
                continue
            if change := _judge(row, attempt, standing, now):
                changes.append(change)
            settled.append(Settled(row, attempt))
        _write(changes, now)
    return settled


def _lock_rows(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Reservation]:
    """The reservations, locked in the order of their ids, with their sales."""
    rows = {row.pk: row for row in Reservation.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    sales = Sale.objects.select_related("campaign", "clock").in_bulk({row.sale_id for row in rows.values()})
    for row in rows.values():
        row.sale = sales[row.sale_id]
    return rows


def _is_exact(attempt: PaymentAttempt, standing: payments.Standing) -> bool:
    return standing.currency == attempt.currency and standing.paid >= attempt.amount


def _is_late(row: Reservation, attempt: PaymentAttempt, standing: payments.Standing) -> bool:
    paid = standing.state is StandingState.PAID and _is_exact(attempt, standing)
    return paid and attempt.is_open and row.state == ReservationState.EXPIRED


def _judge(row: Reservation, attempt: PaymentAttempt, standing: payments.Standing, now: datetime) -> _Change | None:
    """What an answer changes, or None. It changes the objects, and PostgreSQL is written by `_write`."""
    was_open = attempt.is_open
    if standing.state is StandingState.PAID and (was_open or attempt.state in ENDED_UNPAID):
        return _take_money(row, attempt, standing, now)
    if standing.state is StandingState.REVERSED and attempt.state == AttemptState.PAID:
        log.error("the provider took the money of %s back", attempt.reference)
        _note(attempt, standing, AttemptState.REVERSED, now)
        return _Change(row, attempt)
    if not was_open or standing.state is StandingState.UNKNOWN:
        return None
    if standing.state in {StandingState.WAITING, StandingState.REVIEW}:
        _note(attempt, standing, AttemptState(standing.state), now)
        return _Change(row, attempt)
    ended = AttemptState.FAILED if standing.state is StandingState.REVERSED else AttemptState(standing.state)
    _note(attempt, standing, ended, now)
    return _Change(row, attempt, drops=True)


def _take_money(row: Reservation, attempt: PaymentAttempt, standing: payments.Standing, now: datetime) -> _Change:
    was_open, over = attempt.is_open, standing.paid - attempt.amount
    if not _is_exact(attempt, standing):
        log.error("%s asked %s %s and got %s %s", attempt.reference, attempt.currency, attempt.amount,
                  standing.currency, standing.paid)  # fmt: skip
        _note(attempt, standing, AttemptState.MISMATCH, now)
        return _Change(row, attempt, drops=was_open)
    if not was_open:
        log.error("%s was %s and has been paid", attempt.reference, attempt.state)
    if was_open and row.state == ReservationState.HELD:
        _note(attempt, standing, AttemptState.PAID, now)
        return _Change(row, attempt, buys=True, refunds=((RefundReason.OVERPAID, over),) if over else ())
    _note(attempt, standing, AttemptState.LATE, now)
    return _Change(row, attempt, drops=was_open, refunds=((RefundReason.LATE, standing.paid),))


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
        if state in {AttemptState.PAID, AttemptState.LATE, AttemptState.MISMATCH}:
            attempt.paid = standing.paid
    attempt.turn_at = None
    people = state in {AttemptState.MISMATCH, AttemptState.REVERSED}
    attempt.next_look_at = now + PEOPLE if people else next_look(attempt, now)


def _write(changes: Sequence[_Change], now: datetime) -> None:
    if not changes:
        return
    if bought := [change.row for change in changes if change.buys]:
        _sell_units(bought)
        for row in bought:
            row.state, row.confirmed_at, row.ended_at = ReservationState.CONFIRMED, now, None
        Reservation.objects.filter(pk__in=[row.pk for row in bought]).update(
            state=ReservationState.CONFIRMED, confirmed_at=now, ended_at=None
        )
    names = (
        "reference",
        "state",
        "provider_id",
        "fee",
        "instructions",
        "paid",
        "turn_at",
        "next_look_at",
        "settled_at",
    )
    update(PaymentAttempt, "reference", {name: [getattr(change.attempt, name) for change in changes] for name in names})
    _forget_buyers([change.row for change in changes if change.drops])
    owed = [(change.attempt, why, amount) for change in changes for why, amount in change.refunds]
    add_refunds([NewRefund(attempt, why, amount, refund_by(attempt)) for attempt, why, amount in owed], now)
    reversed_ones = [change.attempt.pk for change in changes if change.attempt.state == AttemptState.REVERSED]
    if reversed_ones:
        Refund.objects.filter(attempt__in=reversed_ones, state=RefundState.DUE).update(
            state=RefundState.WITHDRAWN, waits=False, next_look_at=None, settled_at=now
        )


def _sell_units(rows: Sequence[Reservation]) -> None:
    """Sells the units held for locked reservations. Raises RefusedByBooks unless all of them are held."""
    wanted = {row.pk: row.quantity for row in rows}
    held = ReservationUnit.objects.filter(reservation__in=list(wanted), active=True, unit__state=UnitState.HELD)
    units = dict(held.values_list("unit_id", "reservation_id"))
    sold = Unit.objects.filter(pk__in=list(units), state=UnitState.HELD).update(
        state=UnitState.SOLD, version=F("version") + 1
    )
    if Counter(units.values()) != Counter(wanted) or sold != len(units):
        raise RefusedByBooks(Outcome.OFFER_GONE, f"{sold} of {sum(wanted.values())} units were held")


def _forget_buyers(rows: Sequence[Reservation]) -> None:
    """Deletes what buyers told us for attempts that confirm nothing."""
    if not rows:
        return
    Trait.objects.filter(reservation__in=rows).delete()
    Contact.objects.filter(reservation__in=rows).delete()
    held: dict[tuple[str, ...], list[uuid.UUID]] = defaultdict(list)
    for row in rows:
        campaign = row.sale.campaign
        late = tuple(axis.axis for axis in axes_of(campaign.pk, bytes(campaign.salt)) if axis.is_late)
        if late and row.state == ReservationState.HELD:
            held[late].append(row.pk)
    for axes, ids in held.items():
        LimitSlot.objects.filter(reservation__in=ids, axis__in=axes).delete()


async def _settle_late(settled: Settled, standing: payments.Standing) -> Settled:
    """Retakes the units of an expired reservation in Redis, then lets PostgreSQL decide."""
    card, held = await run_in_db_thread(_request_to_retake, settled.row)
    line = card.line_of_allocation(settled.row.allocation_id)
    answer = await _retake(card, line, held) if held else Outcome.OFFER_GONE
    if answer in RETRYABLE:
        raise Refused(Outcome.UNKNOWN, "The money has come late; the same request will tell the result.")
    units = held.units if held and answer is Outcome.RESERVED else ()
    taken = [(unit.unit_id, unit.version) for unit in units]
    return await run_in_db_thread(_decide_late, settled.attempt.reference, standing, card.epoch, taken)


def _request_to_retake(row: Reservation) -> tuple[SaleCard, HeldRequest | None]:
    card = card_of(row.sale)
    with transaction.atomic():
        return card, request_to_retake(card, row.pk)


async def _retake(card: SaleCard, line: LineCard, held: HeldRequest) -> Outcome:
    figures = await scripts.survey(card, line)
    if isinstance(figures, Outcome):
        return figures
    promised = figures.open_claims * card.weight
    return await scripts.retake(card, line, held=held, promised=promised, called=figures.called, kept_ms=RETAKE_KEEP_MS)


@transaction.atomic
def _decide_late(reference: str, standing: payments.Standing, epoch: int, units: list[tuple[int, int]]) -> Settled:
    """Confirms a late payment, or makes its refund due; `units` are (id, version) as Redis retook them, or empty."""
    owner, sale = PaymentAttempt.objects.values_list("reservation_id", "reservation__sale").get(reference=reference)
    epoch_now, state = lock_sale(sale)
    row = _lock_rows([owner])[owner]
    attempt = PaymentAttempt.objects.select_for_update().get(reference=reference)
    attempt.reservation, now = row, timezone.now()
    if not _is_late(row, attempt, standing):
        return Settled(row, attempt)
    if units and (epoch != epoch_now or state == SaleState.PAUSED):
        raise Refused(Outcome.UNKNOWN, "The sale is paused or being rebuilt; the same request will tell.")
    if units and state == SaleState.PUBLISHED:
        try:
            with transaction.atomic():
                slots = slot_requests(row, list(row.unpaid_holds.values_list("axis", "digest")))
                claim_slots([(row.pk, slot, row.quantity) for slot in slots])
                row.reservation_units.update(active=True)
                advance_units(units, was=UnitState.FREE, becomes=UnitState.HELD)
        except (IntegrityError, RefusedByBooks):
            units = []
        else:
            row.unpaid_holds.all().delete()
            row.state = ReservationState.HELD
    change = _take_money(row, attempt, standing, now)
    _write([change], now)
    return Settled(row, attempt)


def _cards_for_keys(sale: int, commitment: str, allocation: int) -> tuple[SaleCard, LineCard]:
    """Sale card and line card, good only for the Redis keys of a line, because the rest of the card may be old.

    The keys never change, so keeping them saves ten queries for each order. The commitment is part of the key, because
    a restored database may use an id again.
    """
    card = card_of(Sale.objects.select_related("campaign").get(pk=sale, commitment=commitment))
    return card, card.line_of_allocation(allocation)


_cards: dict[tuple[int, str, int], tuple[SaleCard, LineCard]] = {}


async def tell_gate(row: Reservation) -> None:
    """Tells Redis of a confirmed order. Those of one line that come at the same time share a call."""
    where = (row.sale_id, row.sale.commitment, row.allocation_id)
    if where not in _cards:
        if len(_cards) > 256:
            _cards.clear()
        _cards[where] = await run_in_db_thread(_cards_for_keys, *where)
    card, line = _cards[where]
    try:
        await scripts.confirm(card, line, reservation=str(row.pk), quantity=row.quantity)
    except GateDown as error:
        log.warning("Redis was not told that %s is confirmed; mending tells it: %s", row.pk, error)
