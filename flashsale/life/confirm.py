"""Confirm: the buyer pays for the held units, and the order becomes theirs.

PostgreSQL (the books) decides first; Redis (the gate) learns the result afterwards. The states of a payment, and what
the provider's answer does to them, are drawn in `settle.py`.
"""

import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import lru_cache

from django.db import IntegrityError, transaction
from django.utils import timezone

from flashsale.books.reservations import refusal_of
from flashsale.books.terms import terms_of
from flashsale.life.contact import checked_contact
from flashsale.life.enter import digester
from flashsale.life.refund import refund
from flashsale.life.settle import refund_earlier_attempt, settle, take_limit_slots
from flashsale.models import ApiCall, CampaignAxis, Contact, Payment, Reservation, Trait
from flashsale.models.sale import ms
from flashsale.providers import payments
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PaymentState, ReservationState

log = logging.getLogger(__name__)
KEEP_CONTACT = timedelta(days=90)
_REFUND_OWED = frozenset({PaymentState.REFUND_DUE, PaymentState.REFUND_FAILED})
DECLINED = "The units stay held; choose another way to pay, under another Idempotency-Key."


@dataclass(frozen=True, slots=True)
class Buyer:
    """The person who buys.

    `identity` holds raw values by axis: every hard axis, and the soft ones that are known. `contact` holds the
    CONTACT_FIELDS of `contact.py`. `language` is "id" or "en".
    """

    identity: Mapping[Axis, str]
    contact: Mapping[str, str]
    language: str


@dataclass(frozen=True, slots=True)
class PaymentChoice:
    """How the buyer pays: the total they expect, the method, and the provider's token of their payment instrument."""

    price: int
    method: str
    instrument: str


class _Before(Enum):
    """What must happen to the payment attempt before, so that the new attempt can take its row."""

    NOTHING = auto()
    CLOSE = auto()
    REFUND = auto()


def confirm(
    *, reservation: uuid.UUID, channel: int, buyer: Buyer, payment_choice: PaymentChoice, call: int | None = None
) -> Reservation:
    """Takes the payment and confirms the reservation. The same call again gives the same answer and charges nothing.

    `call` is the id of the ApiCall of the caller's Idempotency-Key. A call starts one payment attempt at most: when
    that attempt is over without an order, every repeat of the call is PAYMENT_DECLINED, and another key tries again.

    If the buyer still has to pay elsewhere (in the app of their bank), the reservation stays held until the provider
    calls back (`settle.handle_callback`).
    Refuses NOT_FOUND (also for another channel's reservation), EXPIRED, NOT_HELD, MALFORMED (method), WRONG_PRICE,
    WRONG_IDENTITY, BAD_IDENTITY, LIMIT_REACHED (on an axis that is first known now), PAYMENT_DECLINED, UNKNOWN (the
    provider does not answer).

    0. A new attempt takes the row of the attempt before, so that one is cleared first. If its payment was declined and
       arrived after all, the money goes back. If it is under way with another method or instrument, the provider
       closes it; if its money has arrived already, the order is confirmed with that money. If the process dies after
       this step, a retry finds the attempt closed.
    1. PostgreSQL stores the buyer, that a payment starts under a reference of ours, and that this call started it. If
       the process dies after this step, a retry uses the same reference.
    2. The provider charges the reference. If the process dies here, a retry charges nothing; once the hold has ended,
       the sweep asks the provider for the result.
    3. PostgreSQL confirms the order, or the money goes back; then Redis learns the result: see `settle`.
    """
    row, before = _start(reservation, channel, buyer, payment_choice, call)
    if before is not _Before.NOTHING:
        _clear_attempt_before(row, before)
        row, before = _start(reservation, channel, buyer, payment_choice, call)
    if before is not _Before.NOTHING:
        raise Refused(Outcome.UNKNOWN, "Another payment has begun meanwhile; send the same again.")
    if row.state == ReservationState.CONFIRMED:
        return row
    charge = _charge(row, payment_choice)
    if charge is payments.Charge.PENDING:
        return row
    return _finish(row, paid=charge is payments.Charge.PAID)


def _clear_attempt_before(row: Reservation, before: _Before) -> None:
    """Refunds or closes the payment attempt that `row.payment` still describes."""
    match before:
        case _Before.REFUND:
            _refund_attempt_before(row)
        case _Before.CLOSE:
            _close_attempt_before(row)


def _refund_attempt_before(row: Reservation) -> None:
    try:
        refund(reservation=row.pk)
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, "What was paid before has to go back first; send the same again.") from error
    if Payment.objects.filter(reservation=row, state__in=_REFUND_OWED).exists():
        raise Refused(Outcome.NOT_HELD, "What was paid before cannot be sent back; a person has to see to it first.")


def _close_attempt_before(row: Reservation) -> None:
    """Ends the attempt under way at the provider. If its money had arrived already, that money counts."""
    reference = row.payment.reference
    try:
        paid = payments.provider.close(reference=reference) is payments.Charge.PAID
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, "The payment before has to be closed first; send the same again.") from error
    settle(reference=reference, paid=paid)


def _finish(row: Reservation, *, paid: bool) -> Reservation:
    """Settles the charge and returns the confirmed order.

    Refuses PAYMENT_DECLINED while the units stay held, and EXPIRED when the hold has ended.
    """
    reservation, charged = row.pk, row.payment
    callback = payments.Callback(charged.reference, charged.amount, row.sale.campaign.currency, paid=paid)
    row = settle(reference=callback.reference, paid=paid)
    if paid and row.payment.reference != callback.reference:
        refund_earlier_attempt(callback)
    if row.state == ReservationState.HELD and not _has_ended(row, timezone.now()):
        raise Refused(Outcome.PAYMENT_DECLINED, DECLINED)
    if row.state != ReservationState.CONFIRMED:
        try:
            refund(reservation=reservation)
        except payments.ProviderDown:
            log.warning("the payment of %s will be refunded later, because the provider does not answer", row.pk)
        raise Refused(Outcome.EXPIRED, "The hold had ended; what was paid is refunded.")
    return row


def _charge(row: Reservation, payment_choice: PaymentChoice) -> payments.Charge:
    """The provider's answer. A hold that has ended takes no new money: its reference is closed, not charged."""
    reference, amount = row.payment.reference, row.payment.amount
    try:
        if _has_ended(row, timezone.now()):
            return payments.provider.close(reference=reference)
        return payments.provider.charge(
            reference=reference,
            amount=amount,
            currency=row.sale.campaign.currency,
            method=payment_choice.method,
            instrument=payment_choice.instrument,
        )
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, "The same request will tell whether it is paid.") from error


def _start(
    reservation: uuid.UUID, channel: int, buyer: Buyer, payment_choice: PaymentChoice, call: int | None
) -> tuple[Reservation, _Before]:
    """Starts a payment: the reservation with the payment to charge, and NOTHING.

    Otherwise it changes nothing and says what must happen to the attempt before. It also changes nothing when the
    reservation is confirmed already, or when the hold of a started payment has ended.
    """
    now = timezone.now()
    try:
        with transaction.atomic():
            row = _locked(reservation, channel)
            known = Payment.objects.filter(reservation=row).first()
            if known:
                row.payment = known
                _refuse_second_attempt(row, known, call)
            paying = known is not None and known.state == PaymentState.STARTED
            if paying and _has_ended(row, now):
                return row, _Before.NOTHING
            _refuse_ended(row, now)
            if row.state == ReservationState.HELD:
                buyer = replace(buyer, contact=checked_contact(buyer.contact))
            if known and known.state in _REFUND_OWED and row.state == ReservationState.HELD:
                return row, _Before.REFUND
            if payment_choice.method not in payments.METHODS:
                raise Refused(Outcome.MALFORMED, f"method: one of {', '.join(payments.METHODS)}.")
            _refuse_wrong_price(row, payment_choice.price)
            axes = _axes(row.sale.campaign_id, bytes(row.sale.campaign.salt))
            own_slots = set(row.limit_slots.values_list("axis", "digest"))
            traits = _traits(row, axes, own_slots, buyer)
            if row.state != ReservationState.CONFIRMED:
                late = _late_slots(axes, traits)
                if known and paying and (known.method != payment_choice.method or not own_slots.issuperset(late)):
                    return row, _Before.CLOSE
                # A retry has taken its own slots already.
                take_limit_slots(row, [slot for slot in late if slot not in own_slots])
                _remember_buyer(row, buyer, traits, replace=known is not None)
                _start_payment(row, known, payment_choice.method, now)
                _bind_attempt(row, call)
            return row, _Before.NOTHING
    except IntegrityError as error:
        raise Refused(refusal_of(error)) from error


def _locked(reservation: uuid.UUID, channel: int) -> Reservation:
    # PostgreSQL returns the row as it is once we hold its lock; payment and limit slots are read after that. Sale and
    # clock are as they were when the wait began. So a hold that ends, or a sale that is paused, while we wait is judged
    # as it was when the request came.
    rows = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign", "sale__clock")
    row = rows.filter(pk=reservation, channel=channel).first()
    if row is None or row.state == ReservationState.ABANDONED:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
    return row


@lru_cache(maxsize=256)
def _axes(campaign: int, salt: bytes) -> tuple[CampaignAxis, ...]:  # noqa: ARG001 - tells campaigns apart
    """The campaign's axes; they are frozen before the first reservation, so they can be cached.

    The salt is part of the key, because a restored database may use an id again.
    """
    return tuple(CampaignAxis.objects.filter(campaign=campaign))


def _refuse_second_attempt(row: Reservation, known: Payment, call: int | None) -> None:
    """Refuses PAYMENT_DECLINED when this call has started a payment attempt before, and that attempt is over."""
    if call is None:
        return
    attempt = ApiCall.objects.filter(pk=call).exclude(attempt="").values_list("attempt", flat=True).first()
    running = known.reference == attempt and known.state == PaymentState.STARTED
    if attempt and row.state == ReservationState.HELD and not running:
        raise Refused(Outcome.PAYMENT_DECLINED, DECLINED)


def _refuse_ended(row: Reservation, now: datetime) -> None:
    if row.state == ReservationState.EXPIRED or (row.state == ReservationState.HELD and _has_ended(row, now)):
        raise Refused(Outcome.EXPIRED, "The hold has ended.")
    if row.state not in {ReservationState.HELD, ReservationState.CONFIRMED}:
        raise Refused(Outcome.NOT_HELD, f"The reservation is {row.state}.")


def _refuse_wrong_price(row: Reservation, price: int) -> None:
    """Refuses WRONG_PRICE unless the buyer expects the official price, and the reservation has it, too."""
    if row.state == ReservationState.CONFIRMED:
        official = row.amount
    else:
        prices = terms_of(row.sale_id, row.sale.commitment, row.sale.revision).prices
        skus = row.reservation_units.filter(active=True).values_list("unit__sku", flat=True)
        official = sum(prices[sku] for sku in skus)
    if row.amount != official:
        log.error(
            "the amount of reservation %s is %d; the official price of its units is %d", row, row.amount, official
        )
    if (price, row.amount) != (official, official):
        raise Refused(Outcome.WRONG_PRICE, f"The official price of these units is {official}.")


def _has_ended(row: Reservation, now: datetime) -> bool:
    """Whether the hold is over: ended in PostgreSQL, or still held there but past its deadline."""
    if row.state == ReservationState.HELD:
        return row.sale.line_ms(ms(now)) >= row.deadline_ms
    return row.state != ReservationState.CONFIRMED


def _traits(
    row: Reservation, axes: Sequence[CampaignAxis], own_slots: Collection[tuple[str, str]], buyer: Buyer
) -> dict[Axis, bytes]:
    """The buyer's digests on the campaign's axes.

    The axes with which the buyer entered the line must be in `own_slots` (axis, hex digest); else WRONG_IDENTITY.
    """
    campaign = row.sale.campaign
    digests = digester(bytes(campaign.salt).hex(), campaign.canon_version)
    traits = {}
    for axis_row in axes:
        axis = Axis(axis_row.axis)
        raw = buyer.identity.get(axis, "")
        if not raw and axis_row.hard:
            raise Refused(Outcome.BAD_IDENTITY, f"Missing: {axis.value}.")
        if not raw:
            continue
        try:
            traits[axis] = digests.digest(axis, raw, channel=row.channel_id)
        except BadValue as error:
            raise Refused(Outcome.BAD_IDENTITY, f"{axis.value}: {error}") from error
        entered = axis_row.hard and not axis_row.is_late
        if entered and (axis.value, traits[axis].hex()) not in own_slots:
            raise Refused(Outcome.WRONG_IDENTITY, f"{axis.value}: not the one that entered the line.")
    return traits


def _late_slots(axes: Sequence[CampaignAxis], traits: Mapping[Axis, bytes]) -> list[tuple[str, str]]:
    """Axis and hex digest of the hard axes that are first known when the buyer pays.

    A retry keeps the limit slots of the first instrument, because the provider charges the first instrument whatever
    the retry names. Slots for every instrument would refuse other people. Slots for the last instrument alone would let
    the owner of the first one buy again.
    """
    return [(axis.axis, traits[Axis(axis.axis)].hex()) for axis in axes if axis.is_late]


def _remember_buyer(row: Reservation, buyer: Buyer, traits: Mapping[Axis, bytes], *, replace: bool) -> None:
    """Stores the buyer before the charge, so that any process that learns of the payment can confirm the order.

    A retry during the payment may correct contact data and soft axes: the last values count.
    """
    if replace:
        row.traits.all().delete()
        Contact.objects.filter(reservation=row).delete()
    Trait.objects.bulk_create(Trait(reservation=row, axis=axis, digest=d.hex()) for axis, d in traits.items())
    Contact.seal(row, dict(buyer.contact), buyer.language, row.sale.closes_at + KEEP_CONTACT).save()


def _start_payment(row: Reservation, known: Payment | None, method: str, now: datetime) -> None:
    """Notes the attempt under "<reservation>/<attempt>". Keeps the reference of a payment that is under way."""
    if known and known.state == PaymentState.STARTED:
        return
    attempt = 1 + int(known.reference.rpartition("/")[2]) if known else 1
    fields = {
        "reference": f"{row.pk}/{attempt}",
        "provider": payments.provider.name,
        "method": method,
        "amount": row.amount,
        "state": PaymentState.STARTED,
        "started_at": now,
        "settled_at": None,
        "refund_reference": "",
    }
    if known is None:
        Payment.objects.create(reservation=row, **fields)
        return
    for name, value in fields.items():
        setattr(known, name, value)
    known.save(update_fields=list(fields))


def _bind_attempt(row: Reservation, call: int | None) -> None:
    """Notes which payment attempt this call has started, in the transaction that starts it."""
    if call is not None:
        ApiCall.objects.filter(pk=call).update(attempt=row.payment.reference)
