"""Settle: the provider's answer about a payment takes effect once: the order is confirmed, or the money goes back.

How this works. Three callers bring an answer (paid or not paid): `confirm`, the provider's callback, and the sweep of
holds that have ended. An answer may come in time, late, twice, or from two processes at once. PostgreSQL (the books)
decides under the lock of the reservation's row, so an answer that comes again changes nothing.

    payment      answer, and where the reservation is             becomes
    ---------    ---------------------------------------------    -------------------------------------
    started      not paid                                         declined
    started      paid, held (perhaps past its deadline)           paid; the reservation is confirmed
    started      paid, expired: retake its units                  paid and confirmed, or else refund_due
    started      paid, ended in any other way                     refund_due
    declined     paid after all                                   refund_due
    any other    any                                              no change

                 +----------------------------> declined ---------+
                 | not paid                        paid after all |
                 |                                                v        sent back
    started -----+-- paid, too late -------------------------> refund_due ----------> refunded
                 |                                              ^     ^ |
                 | paid, in time or retaken                     |     | | the provider refuses
                 +----------------------------> paid -----------+     | v
                                                order cancelled    refund_failed
                                                                   (a person makes it due again)

Retake means: the hold has expired, its units were offered again, and then its money comes. Redis (the gate) takes the
same units once more if they are still free, if no person who was called needs them, and if the limit still allows it.
Only then does PostgreSQL confirm.

Three arrows are elsewhere: a cancellation makes a paid payment due (`cancel.py`), an appeal that is won makes it paid
again (`appeal.py`), and a new attempt after a declined or refunded payment starts the same row again (`confirm.py`).
`refund.py` sends money back.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from flashsale.books.reservations import RefusedByBooks, SlotRequest, advance_units, claim_slots, lock_sale
from flashsale.gate import bridge, scripts
from flashsale.gate.client import GateDown
from flashsale.gate.held_request import HeldRequest
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.held_request import request_to_retake
from flashsale.life.sale_card import card_of
from flashsale.models import Contact, LimitSlot, Payment, Reservation, Sale, Unit
from flashsale.providers import payments
from flashsale.rules.outcomes import RETRYABLE, Outcome, Refused
from flashsale.rules.states import PaymentState, ReservationState, SaleState, UnitState

log = logging.getLogger(__name__)
# So long Redis keeps retaken units, until PostgreSQL has committed them. Much longer than a commit takes.
RETAKE_KEEP_MS = 10_000


def settle(*, reference: str, paid: bool) -> Reservation:
    """Applies the provider's answer about a reference; returns the reservation. Safe to repeat and to run in parallel.

    Paid while held: confirmed. This holds past the deadline too, as long as no process has ended the hold.
    Paid after it expired: confirmed if its units are still free, no person who was called needs them, and its limit
    still allows it. Otherwise the payment becomes refund_due.
    Refuses UNKNOWN (also while the sale is paused) and raises GateDown. Repeat the call then; the sweep repeats it too.

    1. PostgreSQL decides every case that is not late. If the process dies after this step, a repeat changes nothing.
    2. Late money: Redis retakes the units. If the process dies after this step, the units come due in Redis and are
       given back; a repeat of the call goes on from here.
    3. PostgreSQL confirms the order, or notes that a refund is due.
    4. Redis learns that the order is confirmed. If the process dies before this step, the reaper tells Redis when the
       hold comes due there.
    """
    row = _decide(reference, paid)
    if paid and row.payment.reference == reference and row.payment.state == PaymentState.STARTED:
        row = _settle_late(row, reference)
    if row.state == ReservationState.CONFIRMED:
        _tell_gate(row)
    return row


def handle_callback(*, callback: payments.Callback) -> str:
    """Settles what a verified callback reports, and returns the state of the payment after it.

    Refuses NOT_FOUND, WRONG_PRICE (the amount is not the one we charged; nothing changes), and as `settle` does.
    """
    known = Payment.objects.select_related("reservation__sale__campaign").filter(reference=callback.reference).first()
    if known is None:
        return refund_earlier_attempt(callback)
    if (callback.amount, callback.currency) != (known.amount, known.reservation.sale.campaign.currency):
        log.error("a callback about %s names %s %s", callback.reference, callback.currency, callback.amount)
        raise Refused(Outcome.WRONG_PRICE, f"The amount of this reference is {known.amount}.")
    row = settle(reference=callback.reference, paid=callback.paid)
    if row.payment.reference != callback.reference:
        # The buyer has started another attempt since we looked. Only this callback reports the earlier one's money.
        return refund_earlier_attempt(callback)
    return str(row.payment.state)


def settle_ended_holds(*, most: int = 100) -> int:
    """Settles started payments whose holds have ended; returns how many.

    Each reference is closed with the provider first, so that no more money comes for it.
    """
    left = Payment.objects.filter(state=PaymentState.STARTED).exclude(
        reservation__state__in=[ReservationState.HELD, ReservationState.CONFIRMED]
    )
    done = 0
    # Payments that cannot be settled yet come up at every run. A random order keeps them from blocking the others.
    for reference in list(left.order_by("?").values_list("reference", flat=True)[:most]):
        try:
            settle(reference=reference, paid=payments.provider.close(reference=reference) is payments.Charge.PAID)
        except (payments.ProviderDown, GateDown, Refused) as error:
            log.warning("could not settle %s yet: %s", reference, error)
        else:
            done += 1
    return done


def take_limit_slots(row: Reservation, digests: Iterable[tuple[str, str]]) -> None:
    """Takes limit slots for the reservation on these (axis, digest), in the campaign's limit and in the sale's own.

    Raises IntegrityError when a limit is full.
    """
    campaign = row.sale.campaign
    limits = [(LimitSlot.campaign_scope(campaign.pk), campaign.limit)]
    if row.sale.limit:
        limits.append((LimitSlot.sale_scope(row.sale_id), row.sale.limit))
    requests = [SlotRequest(scope, axis, digest, limit) for scope, limit in limits for axis, digest in digests]
    claim_slots([(row.pk, request, row.quantity) for request in requests])


def refund_earlier_attempt(callback: payments.Callback) -> str:
    """Sends back, before we answer, the money of an attempt that a later attempt has replaced; returns its state.

    The earlier attempt was declined, so its money was not expected.
    """
    try:
        known = Payment.objects.filter(reservation=_reservation_id_of(callback.reference)).exists()
    except ValueError:
        known = False
    if not known:
        raise Refused(Outcome.NOT_FOUND, "There is no payment with this reference.")
    if not callback.paid:
        return PaymentState.DECLINED
    try:
        payments.provider.refund(reference=callback.reference, amount=callback.amount, currency=callback.currency)
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, "The provider does not answer; send the callback again.") from error
    except payments.CannotRefund:
        log.exception("the money of %s belongs to no order and cannot be sent back", callback.reference)
        return PaymentState.REFUND_FAILED
    return PaymentState.REFUNDED


def _reservation_id_of(reference: str) -> UUID:
    """The reference of every attempt is "<reservation>/<attempt>". Raises ValueError for another text."""
    return UUID(reference.rpartition("/")[0])


def _locked(reference: str) -> tuple[Reservation, Payment]:
    """The reservation of a reference and its payment, both locked. The payment may belong to a later attempt by now."""
    rows = Reservation.objects.select_for_update(of=("self",)).select_related("sale")
    row = rows.get(pk=_reservation_id_of(reference))
    row.payment = Payment.objects.select_for_update().get(reservation=row)
    return row, row.payment


@transaction.atomic
def _decide(reference: str, paid: bool) -> Reservation:
    row, payment = _locked(reference)
    now = timezone.now()
    if payment.reference != reference:
        return row
    if not paid and payment.state == PaymentState.STARTED:
        _end_payment(payment, PaymentState.DECLINED, now)
    elif paid and payment.state == PaymentState.DECLINED:
        log.error("%s was declined and has been paid", reference)
        _end_payment(payment, PaymentState.REFUND_DUE, now)
    elif paid and payment.state == PaymentState.STARTED and row.state == ReservationState.HELD:
        _sell_units(row)
        _confirm(row, payment, now)
    elif paid and payment.state == PaymentState.STARTED and row.state != ReservationState.EXPIRED:
        _end_payment(payment, PaymentState.REFUND_DUE, now)
    return row


def _sell_units(row: Reservation) -> None:
    """Sells the units held for the locked reservation. Raises RefusedByBooks unless all of them are held."""
    held = Unit.objects.filter(pk__in=row.reservation_units.filter(active=True).values("unit_id"), state=UnitState.HELD)
    sold = held.update(state=UnitState.SOLD, version=F("version") + 1)
    if sold != row.quantity:
        raise RefusedByBooks(Outcome.OFFER_GONE, f"{sold} of {row.quantity} units were held")


def _confirm(row: Reservation, payment: Payment, now: datetime) -> None:
    row.state, row.confirmed_at, row.ended_at = ReservationState.CONFIRMED, now, None
    row.save(update_fields=["state", "confirmed_at", "ended_at"])
    payment.state, payment.settled_at = PaymentState.PAID, now
    payment.save(update_fields=["state", "settled_at"])


def _end_payment(payment: Payment, state: PaymentState, now: datetime) -> None:
    """Ends a payment that confirms nothing, and deletes what its buyer told us for it."""
    payment.state, payment.settled_at = state, now
    payment.save(update_fields=["state", "settled_at"])
    row = payment.reservation
    row.traits.all().delete()
    Contact.objects.filter(reservation=row).delete()
    if row.state == ReservationState.HELD:
        late = [axis.axis for axis in row.sale.campaign.axes.all() if axis.is_late]
        row.limit_slots.filter(axis__in=late).delete()


def _settle_late(row: Reservation, reference: str) -> Reservation:
    """Retakes the units of an expired reservation in Redis, then lets PostgreSQL decide."""
    card = card_of(row.sale)
    with transaction.atomic():
        held = request_to_retake(card, row.pk)
    line = card.line_of_allocation(row.allocation_id)
    answer = bridge.run(_retake(card, line, held)) if held else Outcome.OFFER_GONE
    if answer in RETRYABLE:
        raise Refused(Outcome.UNKNOWN, "The money has come late; the same request will tell the result.")
    units = held.units if held and answer is Outcome.RESERVED else ()
    return _decide_late(reference, card.epoch, [(unit.unit_id, unit.version) for unit in units])


async def _retake(card: SaleCard, line: LineCard, held: HeldRequest) -> Outcome:
    figures = await scripts.survey(card, line)
    if isinstance(figures, Outcome):
        return figures
    promised = figures.open_claims * card.weight
    return await scripts.retake(card, line, held=held, promised=promised, called=figures.called, kept_ms=RETAKE_KEEP_MS)


@transaction.atomic
def _decide_late(reference: str, epoch: int, units: list[tuple[int, int]]) -> Reservation:
    """Confirms a late payment, or makes its refund due; `units` are (id, version) as Redis retook them, or empty."""
    sale = Reservation.objects.values_list("sale_id", flat=True).get(pk=_reservation_id_of(reference))
    epoch_now, state = lock_sale(sale)
    row, payment = _locked(reference)
    now = timezone.now()
    started = payment.reference == reference and payment.state == PaymentState.STARTED
    if not started or row.state != ReservationState.EXPIRED:
        return row
    if units and (epoch != epoch_now or state == SaleState.PAUSED):
        raise Refused(Outcome.UNKNOWN, "The sale is paused or being rebuilt; the same request will tell.")
    if not units or state != SaleState.PUBLISHED:
        _end_payment(payment, PaymentState.REFUND_DUE, now)
        return row
    try:
        with transaction.atomic():
            take_limit_slots(row, row.unpaid_holds.values_list("axis", "digest"))
            row.reservation_units.update(active=True)
            advance_units(units, was=UnitState.FREE, becomes=UnitState.SOLD)
    except (IntegrityError, RefusedByBooks):
        _end_payment(payment, PaymentState.REFUND_DUE, now)
    else:
        row.unpaid_holds.all().delete()
        _confirm(row, payment, now)
    return row


@lru_cache(maxsize=256)
def _cards_for_keys(sale: int, commitment: str, allocation: int) -> tuple[SaleCard, LineCard]:
    """Sale card and line card, good only for the Redis keys of a line, because the rest of the card may be old.

    The keys never change, so caching them saves ten queries for each order. The commitment is part of the cache key,
    because a restored database may use an id again.
    """
    card = card_of(Sale.objects.select_related("campaign").get(pk=sale, commitment=commitment))
    return card, card.line_of_allocation(allocation)


def _tell_gate(row: Reservation) -> None:
    card, line = _cards_for_keys(row.sale_id, row.sale.commitment, row.allocation_id)
    try:
        bridge.run(scripts.confirm(card, line, reservation=str(row.pk), quantity=row.quantity))
    except GateDown as error:
        log.warning("Redis was not told that %s is confirmed; it is told when the hold comes due: %s", row.pk, error)
