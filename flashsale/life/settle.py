"""Settle: what the provider says of a payment takes effect once: the order is honoured or the money goes back, never
both, whether it is said in time, late, again, or by two at once."""

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
# How long the gate keeps a unit for a payment that came late until the books have it; much longer than a commit takes.
KEPT_FOR_LATE_MS = 10_000


def settle(*, reference: str, paid: bool) -> Reservation:
    """The reservation after the provider's word about its payment. Safe to repeat, and to run beside itself.

    Paid while held: confirmed, even past the deadline as long as nobody has ended the hold. Paid after it expired:
    confirmed if its units are still free, nobody was promised them and its limit still allows it, else refunded.
    Refuses UNKNOWN (also while paused), raises GateDown: the same word may be said again, and the sweep says it.

    1. The books decide whatever is not late. If we die after this, saying it again changes nothing.
    2. Late: the gate takes the units once more. If we die after this, they come due in it and go back; said again, it
       goes on from here.
    3. The books make it theirs after all, or note the refund.
    4. The gate hears of it. If we die before, the reaper tells it when it comes due there.
    """
    row = _decide(reference, paid)
    if paid and row.payment.reference == reference and row.payment.state == PaymentState.STARTED:
        row = _honour(row, reference)
    if row.state == ReservationState.CONFIRMED:
        _tell_gate(row)
    return row


def hear(*, told: payments.CallBack) -> str:
    """What a call-back of the provider comes to: where the payment stands now.

    Refuses NOT_FOUND, WRONG_PRICE (another amount than asked for: nothing changes), and as `settle`.
    """
    known = Payment.objects.select_related("reservation__sale__campaign").filter(reference=told.reference).first()
    if known is None:
        return refund_superseded(told)
    if (told.amount, told.currency) != (known.amount, known.reservation.sale.campaign.currency):
        log.error("a call-back about %s names %s %s", told.reference, told.currency, told.amount)
        raise Refused(Outcome.WRONG_PRICE, f"The amount of this reference is {known.amount}.")
    row = settle(reference=told.reference, paid=told.paid)
    if row.payment.reference != told.reference:
        # The buyer has begun another attempt since we looked; nobody else will hear of this one's money.
        return refund_superseded(told)
    return str(row.payment.state)


def settle_left(*, most: int = 100) -> int:
    """Settles payments that were started for holds which have ended since: closed first, so that no more comes."""
    left = Payment.objects.filter(state=PaymentState.STARTED).exclude(
        reservation__state__in=[ReservationState.HELD, ReservationState.CONFIRMED]
    )
    done = 0
    # Those that cannot be settled yet come up again and again; in any order, they keep nobody behind them waiting.
    for reference in list(left.order_by("?").values_list("reference", flat=True)[:most]):
        try:
            settle(reference=reference, paid=payments.provider.close(reference=reference) is payments.Charge.PAID)
        except (payments.ProviderDown, GateDown, Refused) as error:
            log.warning("could not settle %s yet: %s", reference, error)
        else:
            done += 1
    return done


def claim(row: Reservation, known: Iterable[tuple[str, str]]) -> None:
    """Slots for the reservation on these (axis, digest), within every limit; raises IntegrityError when one is full."""
    campaign = row.sale.campaign
    limits = [(LimitSlot.campaign_scope(campaign.pk), campaign.limit)]
    if row.sale.limit:
        limits.append((LimitSlot.sale_scope(row.sale_id), row.sale.limit))
    asks = [SlotRequest(scope, axis, digest, limit) for scope, limit in limits for axis, digest in known]
    claim_slots([(row.pk, ask, row.quantity) for ask in asks])


def refund_superseded(told: payments.CallBack) -> str:
    """A reference of an earlier attempt, declined then: whatever came for it goes back before we answer."""
    try:
        known = Payment.objects.filter(reservation=_reservation_of(told.reference)).exists()
    except ValueError:
        known = False
    if not known:
        raise Refused(Outcome.NOT_FOUND, "There is no payment with this reference.")
    if not told.paid:
        return PaymentState.DECLINED
    try:
        payments.provider.refund(reference=told.reference, amount=told.amount, currency=told.currency)
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, "The provider does not answer; tell it again.") from error
    except payments.CannotRefund:
        log.exception("the money of %s came for nothing and cannot be sent back", told.reference)
        return PaymentState.REFUND_FAILED
    return PaymentState.REFUNDED


def _reservation_of(reference: str) -> UUID:
    """Every attempt's reference begins with it."""
    return UUID(reference.rpartition("/")[0])


def _locked(reference: str) -> tuple[Reservation, Payment]:
    """The reservation of a reference and its payment, which may be a later attempt's by now."""
    rows = Reservation.objects.select_for_update(of=("self",)).select_related("sale")
    row = rows.get(pk=_reservation_of(reference))
    row.payment = Payment.objects.select_for_update().get(reservation=row)
    return row, row.payment


@transaction.atomic
def _decide(reference: str, paid: bool) -> Reservation:
    row, paying = _locked(reference)
    now = timezone.now()
    if paying.reference != reference:
        return row
    if not paid and paying.state == PaymentState.STARTED:
        _end(paying, PaymentState.DECLINED, now)
    elif paid and paying.state == PaymentState.DECLINED:
        log.error("%s was declined and has been paid", reference)
        _end(paying, PaymentState.REFUND_DUE, now)
    elif paid and paying.state == PaymentState.STARTED and row.state == ReservationState.HELD:
        _sell_units(row)
        _make_theirs(row, paying, now)
    elif paid and paying.state == PaymentState.STARTED and row.state != ReservationState.EXPIRED:
        _end(paying, PaymentState.REFUND_DUE, now)
    return row


def _sell_units(row: Reservation) -> None:
    """The units held for the locked reservation become sold, all of them or none."""
    held = Unit.objects.filter(pk__in=row.reservation_units.filter(active=True).values("unit_id"), state=UnitState.HELD)
    sold = held.update(state=UnitState.SOLD, version=F("version") + 1)
    if sold != row.quantity:
        raise RefusedByBooks(Outcome.OFFER_GONE, f"{sold} of {row.quantity} units were held")


def _make_theirs(row: Reservation, paying: Payment, now: datetime) -> None:
    row.state, row.confirmed_at, row.ended_at = ReservationState.CONFIRMED, now, None
    row.save(update_fields=["state", "confirmed_at", "ended_at"])
    paying.state, paying.settled_at = PaymentState.PAID, now
    paying.save(update_fields=["state", "settled_at"])


def _end(paying: Payment, state: PaymentState, now: datetime) -> None:
    """The payment came to nothing: what its buyer told us for it is not kept."""
    paying.state, paying.settled_at = state, now
    paying.save(update_fields=["state", "settled_at"])
    row = paying.reservation
    row.traits.all().delete()
    Contact.objects.filter(reservation=row).delete()
    if row.state == ReservationState.HELD:
        late = [axis.axis for axis in row.sale.campaign.axes.all() if axis.is_late]
        row.limit_slots.filter(axis__in=late).delete()


def _honour(row: Reservation, reference: str) -> Reservation:
    card = card_of(row.sale)
    with transaction.atomic():
        held = request_to_retake(card, row.pk)
    line = card.line_of_allocation(row.allocation_id)
    answer = bridge.run(_retake(card, line, held)) if held else Outcome.OFFER_GONE
    if answer in RETRYABLE:
        raise Refused(Outcome.UNKNOWN, "The money has come late; the same request will tell what became of it.")
    units = held.units if held and answer is Outcome.RESERVED else ()
    return _conclude(reference, card.epoch, [(unit.unit_id, unit.version) for unit in units])


async def _retake(card: SaleCard, line: LineCard, held: HeldRequest) -> Outcome:
    figures = await scripts.survey(card, line)
    if isinstance(figures, Outcome):
        return figures
    promised = figures.open_claims * card.weight
    return await scripts.retake(
        card, line, held=held, promised=promised, called=figures.called, kept_ms=KEPT_FOR_LATE_MS
    )


@transaction.atomic
def _conclude(reference: str, epoch: int, units: list[tuple[int, int]]) -> Reservation:
    """The books' last word about a payment that came late; `units` (id, version) as the gate keeps them, or none."""
    sale = Reservation.objects.values_list("sale_id", flat=True).get(pk=_reservation_of(reference))
    epoch_now, state = lock_sale(sale)
    row, paying = _locked(reference)
    now = timezone.now()
    started = paying.reference == reference and paying.state == PaymentState.STARTED
    if not started or row.state != ReservationState.EXPIRED:
        return row
    if units and (epoch != epoch_now or state == SaleState.PAUSED):
        raise Refused(Outcome.UNKNOWN, "The sale stands still; the same request will tell.")
    if not units or state != SaleState.PUBLISHED:
        _end(paying, PaymentState.REFUND_DUE, now)
        return row
    try:
        with transaction.atomic():
            claim(row, row.unpaid_holds.values_list("axis", "digest"))
            row.reservation_units.update(active=True)
            advance_units(units, was=UnitState.FREE, becomes=UnitState.SOLD)
    except (IntegrityError, RefusedByBooks):
        _end(paying, PaymentState.REFUND_DUE, now)
    else:
        row.unpaid_holds.all().delete()
        _make_theirs(row, paying, now)
    return row


@lru_cache(maxsize=256)
def _way(sale: int, commitment: str, allocation: int) -> tuple[SaleCard, LineCard]:
    """Where the gate keeps a line, which never changes: ten questions to the books that each order need not ask.

    By the commitment, for ids may come back with restored books. Only for keys: the rest of the card may be old.
    """
    card = card_of(Sale.objects.select_related("campaign").get(pk=sale, commitment=commitment))
    return card, card.line_of_allocation(allocation)


def _tell_gate(row: Reservation) -> None:
    card, line = _way(row.sale_id, row.sale.commitment, row.allocation_id)
    try:
        bridge.run(scripts.confirm(card, line, reservation=str(row.pk), quantity=row.quantity))
    except GateDown as error:
        log.warning("the gate did not hear that %s is confirmed; it will when the hold comes due: %s", row.pk, error)
