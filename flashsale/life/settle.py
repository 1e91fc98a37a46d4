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
    paid, late   paid, and more than before                          the same; a refund of the difference is due
    mismatch     paid, and more than before                          the same: people decide, or its refund is due
    with money   reversed                                            reversed: the shop waits, people decide; what is
                                                                     not sent back yet stays here
    with money   paid, in another currency than before               the same: people decide, or ask the provider
    reversed     paid again, and its order is still confirmed        paid
    reversed     paid again, in any other case                       mismatch: people decide
    any other    any                                                 no change

                 +--------------> failed, expired, closed --------+
                 | not paid                        paid after all |
                 |                                                v
    asked -> waiting -- paid, too late or not retaken ----------> late ---> its refund is due
                 |
                 +-- paid, in time or retaken -------------------> paid <--> reversed
                 |                                                 (too much: a refund of the rest is due)
                 +-- too little, or in another currency ---------> mismatch

Retake means: the hold has expired, its units were offered again, and then its money comes. Redis (the gate) takes the
same units once more if they are still free, if no person who was called needs them, and if the limit still allows it.
Only then does PostgreSQL confirm.

Money that goes back is a row of its own: `refund.py` sends it. A cancellation makes the refund of a paid attempt due
(`cancel.py`), and an appeal that is won withdraws it (`appeal.py`).
"""

import logging
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import NamedTuple

from django.db import DataError, IntegrityError, transaction

from flashsale.books import call_keys, orders
from flashsale.books.batcher import Batcher
from flashsale.books.events import NewEvent, of_order, of_payment, record
from flashsale.books.letters import HELD_WAITS, NewLetter, add_letters
from flashsale.books.orders import OrderedUnit, Place
from flashsale.books.refunds import NewRefund, add_refunds
from flashsale.books.reservations import RefusedByBooks, advance_units, claim_slots, lock_sale
from flashsale.books.rows import update
from flashsale.gate import scripts
from flashsale.gate.held_request import HeldRequest
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.buyer_digests import Instrument, axes_of, slot_requests, store_instruments
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.forget_contacts import money_is_unsettled, waits_for_letter
from flashsale.life.held_request import request_to_retake
from flashsale.life.judge_standing import Change, is_late, judge_standing, take_money
from flashsale.life.refund_window import refund_by
from flashsale.life.sale_card import card_of
from flashsale.life.stray_refunds import note_refund_doubts, stop_refunds
from flashsale.life.tell_gate import tell_gate
from flashsale.models import Channel, Contact, LimitSlot, Notice, PaymentAttempt, Reservation, Trait
from flashsale.providers import payments
from flashsale.rules import wall_clock
from flashsale.rules.clock import hold_grace_ms
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import RETRYABLE, Outcome, Refused
from flashsale.rules.states import AttemptState, ReservationState, SaleState, UnitState

log = logging.getLogger(__name__)
# How long Redis keeps retaken units for PostgreSQL to commit them. A commit takes much less.
RETAKE_KEEP_MS = 10_000


class Order(NamedTuple):
    """A reservation with all that its document shows, when its payment has just changed."""

    row: Reservation
    attempt: PaymentAttempt
    units: Sequence[OrderedUnit]
    place: Place


class Reply(NamedTuple):
    """What a caller wants to answer: `text` makes it. It is stored under the key when the order is confirmed."""

    key: tuple[int, str]
    text: Callable[[Order], str]


class Answer(NamedTuple):
    """What a provider says about the attempt with this reference. `owner` is its reservation, if the caller knows it.

    `reply` is for the caller whose request waits for the result.
    """

    reference: str
    standing: payments.Standing
    owner: uuid.UUID | None = None
    reply: Reply | None = None


class Settled(NamedTuple):
    """A reservation and its attempt after an answer. `is_late`: its money can only buy units that Redis retakes.

    `text` is what the caller's Reply made; "" if the caller must read the reservation, because the result is unusual.
    """

    row: Reservation
    attempt: PaymentAttempt
    is_late: bool = False
    text: str = ""


async def settle(
    *, reference: str, standing: payments.Standing, owner: uuid.UUID | None = None, reply: Reply | None = None
) -> Settled:
    """Applies what the provider says about a reference. Safe to repeat and to run in parallel; many share one commit.

    Refuses NOT_FOUND (no such reference) and UNKNOWN (also while the sale is paused), and raises GateDown. Repeat the
    call then; the sweep repeats it too.

    1. PostgreSQL decides every case that is not late, and stores the reply of a confirmed order in the same commit. If
       the process dies after this step, a repeat changes nothing.
    2. Late money: Redis retakes the units. If the process dies after this step, the units come due in Redis and are
       given back; a repeat of the call goes on from here.
    3. PostgreSQL confirms the order, or notes that a refund is due.
    4. Redis learns that the order is confirmed. If the process dies before this step, mending tells it.
    """
    settled = await _settling.ask(Answer(reference, standing, owner, reply))
    if settled.is_late:
        settled = await _settle_late(settled, standing)
    if settled.row.state == ReservationState.CONFIRMED:
        await tell_gate(settled.row)
    return settled


def settle_all(answers: Sequence[Answer]) -> list[Settled | Exception]:
    """The result for each answer, or its refusal. Answers about one reservation are settled one after the other."""
    owners = {answer.reference: answer.owner for answer in answers if answer.owner}
    if unknown := {answer.reference for answer in answers} - owners.keys():
        known = PaymentAttempt.objects.filter(reference__in=unknown)
        owners |= dict(known.values_list("reference", "reservation_id"))
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
    except (IntegrityError, DataError, RefusedByBooks):
        return [_settle_alone(answer, owners) for answer in answers]


def _settle_alone(answer: Answer, owners: Mapping[str, uuid.UUID]) -> Settled | Exception:
    try:
        return _decide([answer], owners)[0]
    except (IntegrityError, DataError, RefusedByBooks) as error:
        # The money is not lost: the attempt stays open, and the sweep comes back to it.
        log.exception("what the provider says about %s cannot be written", answer.reference)
        return error


_settling: Batcher[Answer, Settled] = Batcher("settle-payments", settle_all)


def _decide(answers: Sequence[Answer], owners: Mapping[str, uuid.UUID]) -> list[Settled]:
    with transaction.atomic():
        rows = orders.lock_reservations({owners[answer.reference] for answer in answers})
        attempts = orders.lock_attempts([answer.reference for answer in answers])
        # After the locks: the change that held them has an earlier time than this one.
        now = wall_clock.now()
        settled, changes = [], []
        replies: list[tuple[int, Reply, Change]] = []
        for at, answer in enumerate(answers):
            row, attempt = rows[owners[answer.reference]], attempts[answer.reference]
            attempt.reservation = row
            late, was = is_late(row, attempt, answer.standing), attempt.state
            settled.append(Settled(row, attempt, is_late=late))
            change = None if late else judge_standing(row, attempt, answer.standing, now)
            if change:
                changes.append(change._replace(was=was))
                if answer.reply and not change.drops and not change.refunds:
                    replies.append((at, answer.reply, change))
        units, places = orders.units_of([change.row.pk for change in changes])
        _write(changes, units, places, now)
        for at, text in _reply(replies, units, places).items():
            settled[at] = settled[at]._replace(text=text)
    return settled


def _reply(
    replies: Sequence[tuple[int, Reply, Change]],
    units: Mapping[uuid.UUID, list[OrderedUnit]],
    places: Mapping[uuid.UUID, Place],
) -> dict[int, str]:
    """The texts of the replies by position. Stores those of confirmed orders; a key keeps what it has been answered."""
    texts: dict[int, str] = {}
    final: dict[tuple[int, str], str] = {}
    for at, reply, (row, attempt, *_) in replies:
        order = Order(row, attempt, units[row.pk][-row.quantity :], places[row.pk])
        try:
            texts[at] = reply.text(order)
        except Exception:  # what was paid must be confirmed, also if it cannot be shown
            log.exception("no reply could be made for reservation %s", row.pk)
            continue
        if row.state == ReservationState.CONFIRMED:
            final[reply.key] = texts[at]
    stored = call_keys.store_answers(final)
    return {
        at: texts[at] for at, reply, _ in replies if at in texts and (reply.key in stored or reply.key not in final)
    }


def _write(
    changes: Sequence[Change],
    units: Mapping[uuid.UUID, Sequence[OrderedUnit]],
    places: Mapping[uuid.UUID, Place],
    now: datetime,
) -> None:
    if not changes:
        return
    if bought := [change.row for change in changes if change.buys]:
        _sell_units(bought, units)
        for row in bought:
            row.state, row.confirmed_at, row.ended_at = ReservationState.CONFIRMED, now, None
        columns = ("id", "state", "confirmed_at", "ended_at")
        update(Reservation, "id", {name: [getattr(row, name) for row in bought] for name in columns})
        store_instruments(
            [Instrument(one.row, one.said, _pays_us(one, places)) for one in changes if one.buys and one.said]
        )
    names = (
        "reference",
        "state",
        "provider_id",
        "fee",
        "instructions",
        "paid",
        "paid_currency",
        "turn_at",
        "next_look_at",
        "settled_at",
        "parts",
        "doubt",
        "doubt_at",
    )
    reversed_ones = [change.attempt for change in changes if change.attempt.state == AttemptState.REVERSED]
    if reversed_ones:
        note_refund_doubts(reversed_ones, now)
    update(PaymentAttempt, "reference", {name: [getattr(change.attempt, name) for change in changes] for name in names})
    record([event for change in changes for event in _events(change)], now)
    if reversed_ones:
        stop_refunds(reversed_ones, now)
    add_letters([letter for change in changes for letter in _letters(change, places)], now)
    owed = [(change.attempt, why, amount) for change in changes for why, amount in change.refunds]
    add_refunds([NewRefund(attempt, why, amount, refund_by(attempt)) for attempt, why, amount in owed], now)
    _forget_buyers([change for change in changes if change.drops])


def _events(change: Change) -> Iterator[NewEvent]:
    if change.attempt.state != change.was or change.more:
        yield of_payment(change.attempt)
    if change.buys:
        yield of_order(
            change.row, EventType.RESERVATION_RESTORED if change.retaken else EventType.RESERVATION_CONFIRMED
        )


def _letters(change: Change, places: Mapping[uuid.UUID, Place]) -> Iterator[NewLetter]:
    """The order is confirmed; or how to pay, when there is something to pay elsewhere."""
    row, attempt = change.row, change.attempt
    if not _gets_letters(row, places):
        return
    waits = attempt.state == AttemptState.WAITING and change.was != AttemptState.WAITING
    if change.buys:
        yield NewLetter(row, Notice.Kind.CONFIRMED)
    elif waits and attempt.instructions and row.state == ReservationState.HELD:
        yield NewLetter(row, Notice.Kind.HELD, attempt.reference, HELD_WAITS)


def _gets_letters(row: Reservation, places: Mapping[uuid.UUID, Place]) -> bool:
    """Whether we write to this buyer. A partner may write to its own buyers."""
    return row.pk in places and places[row.pk].letters


def _pays_us(change: Change, places: Mapping[uuid.UUID, Place]) -> bool:
    """Whether the buyer pays on our own page, so that no partner has told us the card or wallet."""
    return change.row.pk in places and places[change.row.pk].kind == Channel.Kind.OWN_PAGE


def _sell_units(rows: Sequence[Reservation], units: Mapping[uuid.UUID, Sequence[OrderedUnit]]) -> None:
    """Sells the units held for locked reservations. Raises RefusedByBooks unless all of them are held."""
    held = [unit for row in rows for unit in units.get(row.pk, ()) if unit.active and unit.state == UnitState.HELD]
    if Counter(unit.reservation for unit in held) != Counter({row.pk: row.quantity for row in rows}):
        raise RefusedByBooks(Outcome.OFFER_GONE, f"{len(held)} of {sum(row.quantity for row in rows)} units were held")
    advance_units([(unit.unit, unit.version) for unit in held], was=UnitState.HELD, becomes=UnitState.SOLD)


def _forget_buyers(changes: Sequence[Change]) -> None:
    """Deletes what buyers told us for attempts that confirm nothing.

    The address stays while a letter needs it, and while money of the buyer is with us or may still come (see
    `forget_contacts.py`).
    """
    if not changes:
        return
    rows = [change.row for change in changes]
    Trait.objects.filter(reservation__in=rows).delete()
    own = Contact.objects.filter(reservation__in=rows)
    own.exclude(money_is_unsettled()).exclude(waits_for_letter()).delete()
    held: dict[tuple[str, ...], list[uuid.UUID]] = defaultdict(list)
    for row in rows:
        campaign = row.sale.campaign
        late = tuple(axis.axis for axis in axes_of(campaign) if axis.is_late)
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
        raise Refused(Outcome.UNKNOWN, "The money has come late. Send the same request again to learn the result.")
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
    promised = ceil(figures.open_claims * figures.expected)
    # Holds end some time after they come due (life/expire.py); units for late money need no longer time than this.
    kept_ms = RETAKE_KEEP_MS - hold_grace_ms(card.hold_ms)
    return await scripts.retake(card, line, held=held, promised=promised, called=figures.called, kept_ms=kept_ms)


@transaction.atomic
def _decide_late(reference: str, standing: payments.Standing, epoch: int, units: list[tuple[int, int]]) -> Settled:
    """Confirms a late payment, or makes its refund due; `units` are (id, version) as Redis retook them, or empty."""
    owner, sale = PaymentAttempt.objects.values_list("reservation_id", "reservation__sale").get(reference=reference)
    epoch_now, state = lock_sale(sale)
    row = orders.lock_reservations([owner])[owner]
    attempt = PaymentAttempt.objects.select_for_update().get(reference=reference)
    attempt.reservation, now = row, wall_clock.now()
    if not is_late(row, attempt, standing):
        return Settled(row, attempt)
    if units and (epoch != epoch_now or state == SaleState.PAUSED):
        raise Refused(Outcome.UNKNOWN, "The sale is paused or being rebuilt. Send the same request again.")
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
    retaken = row.state == ReservationState.HELD
    change = take_money(row, attempt, standing, now)._replace(retaken=retaken)
    _write([change], *orders.units_of([row.pk]), now)
    return Settled(row, attempt)
