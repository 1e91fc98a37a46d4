"""Confirm: the held units are paid for and become the buyer's. The books decide; the gate hears of it afterwards."""

import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.db import IntegrityError, transaction
from django.utils import timezone

from flashsale.books.reservations import refusal_of
from flashsale.life.enter import digester
from flashsale.life.refund import refund
from flashsale.life.settle import claim, refund_superseded, settle
from flashsale.models import CampaignAxis, Contact, Payment, Reservation, Trait
from flashsale.models.sale import ms
from flashsale.providers import payments
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PaymentState, ReservationState

log = logging.getLogger(__name__)
KEEP_CONTACT = timedelta(days=90)
_OWED = frozenset({PaymentState.REFUND_DUE, PaymentState.REFUND_FAILED})
CONTACT_FIELDS = ("name", "address", "phone", "email")
_Clearing = Callable[[Reservation], None]


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who pays: raw values by axis (every hard one, soft ones as known), contact data, language "id" or "en"."""

    identity: Mapping[Axis, str]
    contact: Mapping[str, str]
    language: str


@dataclass(frozen=True, slots=True)
class Payer:
    """How: the total that the buyer expects, the method they chose, the provider's token of their instrument."""

    price: int
    method: str
    instrument: str


def confirm(*, reservation: uuid.UUID, channel: int, buyer: Buyer, payer: Payer) -> Reservation:
    """Takes the payment and makes the reservation the buyer's; asked again it answers the same and charges nothing.

    Where the buyer has yet to pay elsewhere it stays held, until the provider calls back (`settle.hear`).
    Refuses NOT_FOUND (also another channel's), EXPIRED, NOT_HELD, MALFORMED (method), WRONG_PRICE, WRONG_IDENTITY,
    BAD_IDENTITY, LIMIT_REACHED (an axis first known now), PAYMENT_DECLINED, UNKNOWN (the provider does not answer).

    0. Another attempt takes the row of the one before. What is owed for that, declined and paid after all, goes back
       first; where it is under way by another method or instrument, the provider closes it, and money that had come
       makes the order theirs. If we die after this, a retry finds it closed.
    1. The books note who buys and that a payment starts, under a reference of ours. If we die after this, a retry uses
       the same one.
    2. The provider charges the reference. If we die here, a retry charges nothing; once the hold has ended, the sweep
       asks what became of it.
    3. The books confirm, or the money goes back, and the gate hears of it: see `settle`.
    """
    row, in_the_way = _start(reservation, channel, buyer, payer)
    if in_the_way:
        in_the_way(row)
        row, in_the_way = _start(reservation, channel, buyer, payer)
    if in_the_way:
        raise Refused(Outcome.UNKNOWN, "Another payment has begun meanwhile; send the same again.")
    if row.state == ReservationState.CONFIRMED:
        return row
    charged = _charge(row, payer)
    if charged is payments.Charge.PENDING:
        return row
    told = payments.CallBack(
        row.payment.reference, row.payment.amount, row.sale.campaign.currency, paid=charged is payments.Charge.PAID
    )
    row = settle(reference=told.reference, paid=told.paid)
    if told.paid and row.payment.reference != told.reference:
        refund_superseded(told)
    if row.state == ReservationState.HELD and not _has_ended(row, timezone.now()):
        raise Refused(Outcome.PAYMENT_DECLINED, "The units stay held; choose another way to pay.")
    if row.state != ReservationState.CONFIRMED:
        try:
            refund(reservation=reservation)
        except payments.ProviderDown:
            log.warning("the payment of %s is sent back later", row.pk)
        raise Refused(Outcome.EXPIRED, "The hold had ended; what was paid is refunded.")
    return row


def _send_back(row: Reservation) -> None:
    try:
        refund(reservation=row.pk)
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, "What was paid before has to go back first; send the same again.") from error
    if Payment.objects.filter(reservation=row, state__in=_OWED).exists():
        raise Refused(Outcome.NOT_HELD, "What was paid before cannot be sent back; somebody has to see to it first.")


def _close(row: Reservation) -> None:
    """No more money comes for the attempt under way; what had come for it counts."""
    reference = row.payment.reference
    try:
        paid = payments.provider.close(reference=reference) is payments.Charge.PAID
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, "The payment before has to be closed first; send the same again.") from error
    settle(reference=reference, paid=paid)


def _charge(row: Reservation, payer: Payer) -> payments.Charge:
    """What became of the charge. A hold that has ended takes no new money: its reference is closed instead."""
    reference, amount = row.payment.reference, row.payment.amount
    try:
        if _has_ended(row, timezone.now()):
            return payments.provider.close(reference=reference)
        return payments.provider.charge(
            reference=reference, amount=amount, currency=row.sale.campaign.currency, method=payer.method,
            instrument=payer.instrument,
        )  # fmt: skip
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, "The same request will tell whether it is paid.") from error


def _start(reservation: uuid.UUID, channel: int, buyer: Buyer, payer: Payer) -> tuple[Reservation, _Clearing | None]:
    """The reservation with the payment to charge, and what has to be done first about the attempt before; then, and
    when it is confirmed already, nothing changes."""
    now = timezone.now()
    try:
        with transaction.atomic():
            row = _locked(reservation, channel)
            known = Payment.objects.filter(reservation=row).first()
            if known:
                row.payment = known
            paying = known is not None and known.state == PaymentState.STARTED
            if paying and _has_ended(row, now):
                return row, None
            _refuse_ended(row, now)
            if known and known.state in _OWED and row.state == ReservationState.HELD:
                return row, _send_back
            if payer.method not in payments.METHODS:
                raise Refused(Outcome.MALFORMED, f"method: one of {', '.join(payments.METHODS)}.")
            if payer.price != row.amount:
                raise Refused(Outcome.WRONG_PRICE, f"The official price of these units is {row.amount}.")
            axes = _axes(row.sale.campaign_id, bytes(row.sale.campaign.salt))
            mine = set(row.limit_slots.values_list("axis", "digest"))
            traits = _traits(row, axes, mine, buyer)
            if row.state != ReservationState.CONFIRMED:
                late = _late(axes, traits)
                if known and paying and (known.method != payer.method or not mine.issuperset(late)):
                    return row, _close
                # A retry finds its slots taken by itself.
                claim(row, [slot for slot in late if slot not in mine])
                _remember_buyer(row, buyer, traits, anew=known is not None)
                _start_payment(row, known, payer.method, now)
            return row, None
    except IntegrityError as error:
        raise Refused(refusal_of(error)) from error


def _locked(reservation: uuid.UUID, channel: int) -> Reservation:
    # The row is as it is once we have its lock, and its payment and claims are read after that. Sale and clock are as
    # the wait began: a hold that ends, or a sale that is paused, while we wait is judged as it was when we were asked.
    rows = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign", "sale__clock")
    row = rows.filter(pk=reservation, channel=channel).first()
    if row is None or row.state == ReservationState.ABANDONED:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
    return row


@lru_cache(maxsize=256)
def _axes(campaign: int, salt: bytes) -> tuple[CampaignAxis, ...]:  # noqa: ARG001 - tells campaigns apart
    """The campaign's axes, frozen before anybody could reserve.

    By its salt, for ids may come back with restored books.
    """
    return tuple(CampaignAxis.objects.filter(campaign=campaign))


def _refuse_ended(row: Reservation, now: datetime) -> None:
    if row.state == ReservationState.EXPIRED or (row.state == ReservationState.HELD and _has_ended(row, now)):
        raise Refused(Outcome.EXPIRED, "The hold has ended.")
    if row.state not in {ReservationState.HELD, ReservationState.CONFIRMED}:
        raise Refused(Outcome.NOT_HELD, f"The reservation is {row.state}.")


def _has_ended(row: Reservation, now: datetime) -> bool:
    """Whether the hold is over, perhaps before anybody has noticed."""
    if row.state == ReservationState.HELD:
        return row.sale.line_ms(ms(now)) >= row.deadline_ms
    return row.state != ReservationState.CONFIRMED


def _traits(
    row: Reservation, axes: Sequence[CampaignAxis], mine: Collection[tuple[str, str]], buyer: Buyer
) -> dict[Axis, bytes]:
    """The buyer's digests on the campaign's axes; those with which they entered the line must be in `mine`."""
    digests = digester(bytes(row.sale.campaign.salt).hex())
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
        if entered and (axis.value, traits[axis].hex()) not in mine:
            raise Refused(Outcome.WRONG_IDENTITY, f"{axis.value}: not the one that entered the line.")
    return traits


def _late(axes: Sequence[CampaignAxis], traits: Mapping[Axis, bytes]) -> list[tuple[str, str]]:
    """Axis and digest of the hard axes that are first known now.

    While somebody pays their slots are those that the payment was started with, for the provider charges the first
    instrument whatever a retry says. Slots for each would keep others out; slots for the last alone would let whoever
    paid by the first buy again.
    """
    return [(axis.axis, traits[Axis(axis.axis)].hex()) for axis in axes if axis.is_late]


def _remember_buyer(row: Reservation, buyer: Buyer, traits: Mapping[Axis, bytes], *, anew: bool) -> None:
    """Who buys, before anything is charged: whoever hears that it is paid can make the order theirs.

    A retry while they pay may correct it: contact data and soft axes are as they were said last.
    """
    if anew:
        row.traits.all().delete()
        Contact.objects.filter(reservation=row).delete()
    Trait.objects.bulk_create(Trait(reservation=row, axis=axis, digest=d.hex()) for axis, d in traits.items())
    data = {name: buyer.contact.get(name, "")[:500] for name in CONTACT_FIELDS}
    Contact.seal(row, data, buyer.language, row.sale.closes_at + KEEP_CONTACT).save()


def _start_payment(row: Reservation, known: Payment | None, method: str, now: datetime) -> None:
    if known and known.state == PaymentState.STARTED:
        return
    attempt = 1 + int(known.reference.rpartition("/")[2]) if known else 1
    fields = {
        "reference": f"{row.pk}/{attempt}", "provider": payments.provider.name, "method": method, "amount": row.amount,
        "state": PaymentState.STARTED, "started_at": now, "settled_at": None, "refund_reference": "",
    }  # fmt: skip
    if known is None:
        Payment.objects.create(reservation=row, **fields)
        return
    for name, value in fields.items():
        setattr(known, name, value)
    known.save(update_fields=list(fields))
