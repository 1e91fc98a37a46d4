"""Confirm: the held units are paid for and become the buyer's. The books decide; the gate hears of it afterwards."""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from flashsale.gate import bridge, scripts
from flashsale.gate.client import GateDown
from flashsale.life.enter import digester
from flashsale.life.rebuild import card_of
from flashsale.models import Claim, Contact, Payment, Reservation, Trait
from flashsale.models.ending import units_of
from flashsale.models.sale import ms
from flashsale.models.writer import ClaimAsk, advance_units, claim_slots, refusal_of
from flashsale.providers import payment
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PaymentState, ReservationState, UnitState

log = logging.getLogger(__name__)
KEEP_CONTACT = timedelta(days=90)
CONTACT_FIELDS = ("name", "address", "phone", "email")


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

    Refuses NOT_FOUND (also another channel's), EXPIRED, NOT_HELD, MALFORMED (method), WRONG_PRICE, WRONG_IDENTITY,
    BAD_IDENTITY, LIMIT_REACHED (an axis first known now), PAYMENT_DECLINED.

    1. The books note that a payment starts, under a reference of ours. If we die after this, a retry uses the same one.
    2. The provider charges the reference. If we die here, a retry charges nothing; once the hold has ended, the sweep
       refunds it.
    3. The books confirm, unless the hold has ended: then the money goes back.
    4. The gate hears of it. If we die before, the reaper tells it when the hold would have come due.
    """
    traits, started = _start(reservation, channel, buyer, payer)
    if started is None:
        return Reservation.objects.get(pk=reservation)
    paid = payment.provider.charge(
        reference=started.reference, amount=started.amount, currency=_currency(reservation), method=payer.method,
        instrument=payer.instrument,
    )  # fmt: skip
    if not paid:
        _decline(started)
        raise Refused(Outcome.PAYMENT_DECLINED, "The units stay held; choose another way to pay.")
    row = _finish(reservation, started.reference, buyer, traits)
    if row.state != ReservationState.CONFIRMED:
        refund(reservation=reservation)
        raise Refused(Outcome.EXPIRED, "The hold had ended; the payment is refunded.")
    _tell_gate(row)
    return row


def _start(
    reservation: uuid.UUID, channel: int, buyer: Buyer, payer: Payer
) -> tuple[dict[Axis, bytes], Payment | None]:
    """The traits of the buyer and the payment to charge; no payment when the reservation is confirmed already."""
    now = timezone.now()
    try:
        with transaction.atomic():
            row = _locked(reservation, channel)
            _refuse_ended(row, now)
            if payer.method not in payment.METHODS:
                raise Refused(Outcome.MALFORMED, f"method: one of {', '.join(payment.METHODS)}.")
            if payer.price != row.amount:
                raise Refused(Outcome.WRONG_PRICE, f"The official price of these units is {row.amount}.")
            traits = _traits(row, buyer)
            if row.state == ReservationState.CONFIRMED:
                return traits, None
            _claim_late_axes(row, traits)
            return traits, _start_payment(row, payer.method, now)
    except IntegrityError as error:
        raise Refused(refusal_of(error)) from error


def _locked(reservation: uuid.UUID, channel: int) -> Reservation:
    row = (
        Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
        .filter(pk=reservation, channel=channel).first()
    )  # fmt: skip
    if row is None or row.state == ReservationState.ABANDONED:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
    return row


def _refuse_ended(row: Reservation, now: datetime) -> None:
    if row.state == ReservationState.CONFIRMED:
        return
    if row.state == ReservationState.EXPIRED or (row.state == ReservationState.HELD and _is_late(row, now)):
        raise Refused(Outcome.EXPIRED, "The hold has ended.")
    if row.state != ReservationState.HELD:
        raise Refused(Outcome.NOT_HELD, f"The reservation is {row.state}.")


def _is_late(row: Reservation, now: datetime) -> bool:
    return row.sale.line_ms(ms(now)) >= row.deadline_ms


def _traits(row: Reservation, buyer: Buyer) -> dict[Axis, bytes]:
    """The buyer's digests on the campaign's axes; those proven at the door must be the same again."""
    digests = digester(bytes(row.sale.campaign.salt).hex())
    known = dict(row.claims.values_list("axis", "digest"))
    traits = {}
    for axis_row in row.sale.campaign.axes.all():
        axis = Axis(axis_row.axis)
        raw = buyer.identity.get(axis, "")
        if not raw and axis_row.hard:
            raise Refused(Outcome.BAD_IDENTITY, f"Missing: {axis.value}.")
        if not raw:
            continue
        try:
            traits[axis] = digests.digest(axis, raw)
        except BadValue as error:
            raise Refused(Outcome.BAD_IDENTITY, f"{axis.value}: {error}") from error
        if axis_row.hard and axis_row.checked_at == "enter" and known.get(axis.value) != traits[axis].hex():
            raise Refused(Outcome.WRONG_IDENTITY, "Not the person who entered the line.")
    return traits


def _claim_late_axes(row: Reservation, traits: Mapping[Axis, bytes]) -> None:
    """Slots on the hard axes that are first known now; a retry finds them taken by itself."""
    campaign = row.sale.campaign
    limits = [(Claim.campaign_scope(campaign.pk), campaign.limit)]
    if row.sale.limit:
        limits.append((Claim.sale_scope(row.sale_id), row.sale.limit))
    late = campaign.axes.filter(hard=True, checked_at="confirm")
    mine = set(row.claims.values_list("axis", "digest"))
    wanted = [(axis.axis, traits[Axis(axis.axis)].hex()) for axis in late]
    claim_slots(
        [
            (row.pk, ClaimAsk(scope, axis, digest, limit), row.quantity)
            for scope, limit in limits for axis, digest in wanted if (axis, digest) not in mine
        ]
    )  # fmt: skip


def _start_payment(row: Reservation, method: str, now: datetime) -> Payment:
    known = Payment.objects.filter(reservation=row).first()
    if known and known.state == PaymentState.STARTED:
        return known
    attempt = 1 + int(known.reference.rpartition("/")[2]) if known else 1
    fields = {
        "reference": f"{row.pk}/{attempt}", "provider": payment.provider.name, "method": method, "amount": row.amount,
        "state": PaymentState.STARTED, "started_at": now, "settled_at": None,
    }  # fmt: skip
    return Payment.objects.update_or_create(reservation=row, defaults=fields)[0]


def _currency(reservation: uuid.UUID) -> str:
    return Reservation.objects.values_list("sale__campaign__currency", flat=True).get(pk=reservation)


@transaction.atomic
def _decline(started: Payment) -> None:
    row = Reservation.objects.select_for_update().get(pk=started.reservation_id)
    Payment.objects.filter(reference=started.reference, state=PaymentState.STARTED).update(
        state=PaymentState.DECLINED, settled_at=timezone.now()
    )
    if row.state == ReservationState.HELD:
        late = row.sale.campaign.axes.filter(hard=True, checked_at="confirm").values("axis")
        row.claims.filter(axis__in=late).delete()


@transaction.atomic
def _finish(reservation: uuid.UUID, reference: str, buyer: Buyer, traits: Mapping[Axis, bytes]) -> Reservation:
    row = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign").get(pk=reservation)
    now = timezone.now()
    paying = Payment.objects.select_for_update().get(reservation=row)
    if paying.reference == reference and paying.state == PaymentState.STARTED:
        late = row.state == ReservationState.HELD and _is_late(row, now)
        honoured = row.state == ReservationState.HELD and not late
        paying.state = PaymentState.PAID if honoured else PaymentState.REFUND_DUE
        paying.settled_at = now
        paying.save(update_fields=["state", "settled_at"])
        if honoured:
            _make_theirs(row, buyer, traits, now)
    return row


def _make_theirs(row: Reservation, buyer: Buyer, traits: Mapping[Axis, bytes], now: datetime) -> None:
    units = units_of(row.holdings.filter(active=True).values_list("unit_id", flat=True))
    advance_units([(unit.pk, unit.version) for unit in units], was=UnitState.HELD, becomes=UnitState.SOLD)
    row.state, row.confirmed_at = ReservationState.CONFIRMED, now
    row.save(update_fields=["state", "confirmed_at"])
    Trait.objects.bulk_create(Trait(reservation=row, axis=axis, digest=d.hex()) for axis, d in traits.items())
    data = {name: buyer.contact.get(name, "")[:500] for name in CONTACT_FIELDS}
    Contact.seal(row, data, buyer.language, row.sale.closes_at + KEEP_CONTACT).save()


def _tell_gate(row: Reservation) -> None:
    card = card_of(row.sale)
    line = next(line for line in card.lines if line.id == row.allocation_id)
    try:
        bridge.run(scripts.confirm(card, line, reservation=str(row.pk), quantity=row.quantity))
    except GateDown as error:
        log.warning("the gate did not hear that %s is confirmed; it will when the hold comes due: %s", row.pk, error)


def refund(*, reservation: uuid.UUID) -> None:
    """Sends back what is due, and what was started for a reservation that has ended; safe to repeat.

    Our reference makes the provider's refund the same one however often it is asked for. While an appeal may restore
    an order its refund waits.
    """
    with transaction.atomic():
        paying = Payment.objects.select_for_update().select_related("reservation").get(reservation=reservation)
        ended = paying.reservation.state not in {ReservationState.HELD, ReservationState.CONFIRMED}
        if paying.state == PaymentState.STARTED and ended:
            paying.state, paying.settled_at = PaymentState.REFUND_DUE, timezone.now()
            paying.save(update_fields=["state", "settled_at"])
        waits = Reservation.contestable().filter(pk=reservation).exists()
        if paying.state != PaymentState.REFUND_DUE or waits:
            return
    try:
        reference = payment.provider.refund(
            reference=paying.reference, amount=paying.amount, currency=_currency(reservation)
        )
        became = {"state": PaymentState.REFUNDED, "refund_reference": reference}
    except payment.CannotRefund as error:
        log.warning("the refund of %s failed: %s", paying.reference, error)
        became = {"state": PaymentState.REFUND_FAILED}
    Payment.objects.filter(pk=paying.pk, state=PaymentState.REFUND_DUE).update(**became)


def refund_again(*, reservation: uuid.UUID) -> bool:
    """Makes a refund that failed due again; whether it had failed."""
    failed = Payment.objects.filter(reservation=reservation, state=PaymentState.REFUND_FAILED)
    return bool(failed.update(state=PaymentState.REFUND_DUE))


def refund_due(*, most: int = 100) -> int:
    """Refunds everything that is due, at most so many; how many."""
    open_states = Payment.objects.filter(state=PaymentState.REFUND_DUE) | Payment.objects.filter(
        state=PaymentState.STARTED
    ).exclude(reservation__state__in=[ReservationState.HELD, ReservationState.CONFIRMED])
    final = open_states.exclude(reservation__in=Reservation.contestable())
    due = list(final.values_list("reservation_id", flat=True)[:most])
    for reservation in due:
        refund(reservation=reservation)
    return len(due)
