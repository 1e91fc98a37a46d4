"""Start: PostgreSQL (the books) notes that buyers begin to pay, many in one transaction, before a provider is called.

A row that is refused refuses its own request only. When the tables refuse a batch, its requests start one by one.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone

from flashsale.books.reservations import RefusedByBooks, SlotRequest, claim_slots, refusal_of
from flashsale.books.rows import insert, update
from flashsale.books.terms import terms_of
from flashsale.life.contact import checked_contact
from flashsale.life.enter import digester
from flashsale.models import (
    ApiCall,
    CampaignAxis,
    Channel,
    Contact,
    LimitSlot,
    PaymentAttempt,
    Reservation,
    ReservationUnit,
    Sale,
    Trait,
)
from flashsale.models.payment import new_reference
from flashsale.models.sale import moment, ms
from flashsale.providers import payments
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AttemptState, ReservationState

log = logging.getLogger(__name__)
KEEP_CONTACT = timedelta(days=90)
FIRST_LOOK = timedelta(seconds=30)
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


class CallKey(NamedTuple):
    """An Idempotency-Key of a channel, and the fingerprint of its request."""

    channel: int
    key: str
    fingerprint: str


class AnsweredBefore(Exception):
    """An earlier request with the same key got this answer (see ApiCall)."""

    def __init__(self, answer: str, refused: str) -> None:
        super().__init__(answer, refused)
        self.answer = answer
        self.refused = refused


class StartRequest(NamedTuple):
    """One payment to start. `call` is the caller's Idempotency-Key, or the id of its ApiCall."""

    reservation: uuid.UUID
    channel: int
    buyer: Buyer
    payment_choice: PaymentChoice
    call: CallKey | int | None


class Next(Enum):
    """What must happen now."""

    BEGIN = auto()  # the provider is asked to take the money
    CLOSE = auto()  # the attempt under way must end first, because the buyer pays another way
    END = auto()  # the hold is over: the provider takes no more money for it
    NOTHING = auto()  # the order is confirmed already


class Started(NamedTuple):
    """A reservation, its attempt under way, and what must happen to it now."""

    row: Reservation
    attempt: PaymentAttempt | None
    then: Next


class _Digested(NamedTuple):
    """What is computed before the rows are locked: digests by axis, and the contact, encrypted; or the refusal."""

    traits: Mapping[Axis, bytes]
    sealed: str
    contact_refused: Refused | None
    refused: Refused | None


class _Fresh(NamedTuple):
    """An attempt to write, with the buyer of its reservation."""

    row: Reservation
    attempt: PaymentAttempt
    request: StartRequest
    digested: _Digested
    is_new: bool
    late: list[tuple[str, str]]


class _Known(NamedTuple):
    """What PostgreSQL has of the reservations of a batch, locked."""

    rows: Mapping[uuid.UUID, Reservation]
    attempts: Mapping[uuid.UUID, list[PaymentAttempt]]
    slots: Mapping[uuid.UUID, set[tuple[str, str]]]
    calls: Mapping[int, str]
    skus: Mapping[uuid.UUID, list[str]]


def start_all(requests: Sequence[StartRequest]) -> list[Started | Exception]:
    """What must happen for each request, or its refusal. A reservation that comes twice is started once."""
    answers: dict[int, Started | Exception] = {}
    waiting: list[tuple[int, StartRequest]] = []
    for at, bound in enumerate(_bind_keys(requests)):
        if isinstance(bound, Exception):
            answers[at] = bound
        else:
            waiting.append((at, bound))
    while waiting:
        batch: list[tuple[int, StartRequest]] = []
        later: list[tuple[int, StartRequest]] = []
        seen: set[uuid.UUID] = set()
        for at, request in waiting:
            (later if request.reservation in seen else batch).append((at, request))
            seen.add(request.reservation)
        for (at, _), answer in zip(batch, _start_batch([request for _, request in batch]), strict=True):
            answers[at] = answer
        waiting = later
    return [answers[at] for at in range(len(requests))]


def _bind_keys(requests: Sequence[StartRequest]) -> "list[StartRequest | Exception]":
    """Binds each key to its request, in a commit of its own, so that a refused request keeps its key.

    The request with the id of its call; or the answer that an earlier request with this key got, or KEY_REUSED.
    """
    # Of one key that comes twice, the first request is bound.
    keys = {request.call[:2]: request.call for request in reversed(requests) if isinstance(request.call, CallKey)}
    if not keys:
        return list(requests)
    now = timezone.now()
    ApiCall.objects.bulk_create(
        [
            ApiCall(channel_id=channel, key=key, fingerprint=keys[channel, key][2], made_at=now)
            for channel, key in sorted(keys)
        ],
        ignore_conflicts=True,
    )
    found = ApiCall.objects.filter(channel__in={call[0] for call in keys}, key__in={call[1] for call in keys})
    calls = {(call.channel_id, call.key): call for call in found}
    return [_bound(request, calls) for request in requests]


def _bound(request: StartRequest, calls: Mapping[tuple[int, str], ApiCall]) -> StartRequest | Exception:
    if not isinstance(request.call, CallKey):
        return request
    call = calls[request.call.channel, request.call.key]
    if call.fingerprint != request.call.fingerprint:
        return Refused(Outcome.KEY_REUSED)
    if call.answer is not None:
        return AnsweredBefore(call.answer, call.refused)
    return request._replace(call=call.pk)


def _start_batch(requests: Sequence[StartRequest]) -> "list[Started | Exception]":
    digested = _digest(requests)
    try:
        return _start(requests, digested)
    except (IntegrityError, RefusedByBooks):
        return [_start_alone(request, known) for request, known in zip(requests, digested, strict=True)]


def _start_alone(request: StartRequest, digested: _Digested) -> Started | Exception:
    try:
        return _start([request], [digested])[0]
    except IntegrityError as error:
        return Refused(refusal_of(error))
    except RefusedByBooks as error:
        return Refused(error.outcome, error.detail)


@lru_cache(maxsize=256)
def axes_of(campaign: int, salt: bytes) -> tuple[CampaignAxis, ...]:  # noqa: ARG001 - tells campaigns apart
    """The campaign's axes; they are frozen before the first reservation, so they can be cached.

    The salt is part of the key, because a restored database may use an id again.
    """
    return tuple(CampaignAxis.objects.filter(campaign=campaign))


def _digest(requests: Sequence[StartRequest]) -> list[_Digested]:
    """Computed before the transaction, because other requests for the same rows would wait for it."""
    rows = Reservation.objects.filter(pk__in={request.reservation for request in requests}).values_list(
        "pk", "sale__campaign", "sale__campaign__salt", "sale__campaign__canon_version"
    )
    campaigns = {pk: (campaign, bytes(salt), version) for pk, campaign, salt, version in rows}
    return [_digest_one(request, campaigns.get(request.reservation)) for request in requests]


def _digest_one(request: StartRequest, campaign: tuple[int, bytes, int] | None) -> _Digested:
    if campaign is None:
        return _Digested({}, "", None, None)
    pk, salt, version = campaign
    digests, traits, refused = digester(salt.hex(), version), {}, None
    for axis_row in axes_of(pk, salt):
        axis = Axis(axis_row.axis)
        raw = request.buyer.identity.get(axis, "")
        try:
            if raw:
                traits[axis] = digests.digest(axis, raw, channel=request.channel)
            elif axis_row.hard:
                refused = refused or Refused(Outcome.BAD_IDENTITY, f"Missing: {axis.value}.")
        except BadValue as error:
            refused = refused or Refused(Outcome.BAD_IDENTITY, f"{error.axis.value}: {error}")
    try:
        return _Digested(traits, Contact.encrypt(checked_contact(request.buyer.contact)), None, refused)
    except Refused as error:
        return _Digested(traits, "", error, refused)


def _start(requests: Sequence[StartRequest], digested: Sequence[_Digested]) -> "list[Started | Exception]":
    now = timezone.now()
    answers: list[Started | Exception] = []
    fresh: list[_Fresh] = []
    with transaction.atomic():
        known = _lock(requests)
        for request, one in zip(requests, digested, strict=True):
            try:
                then = _judge(request, one, known, now)
            except Refused as refused:
                answers.append(refused)
                continue
            if isinstance(then, _Fresh):
                fresh.append(then)
                then = Started(then.row, then.attempt, Next.BEGIN)
            answers.append(then)
        if fresh:
            _write(fresh)
    return answers


def _lock(requests: Sequence[StartRequest]) -> _Known:
    ids = sorted({request.reservation for request in requests})
    # PostgreSQL returns the rows as they are once we hold their locks; attempts and limit slots are read after that.
    # Sales and clocks are as they were when the wait began. So a hold that ends, or a sale that is paused, while we
    # wait is judged as it was when the request came.
    of_sales = Reservation.objects.filter(pk__in=ids).values("sale")
    sales = Sale.objects.select_related("campaign", "clock").in_bulk(list(of_sales.values_list("sale", flat=True)))
    rows = {row.pk: row for row in Reservation.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    channels = Channel.objects.in_bulk({row.channel_id for row in rows.values()})
    for row in rows.values():
        row.sale, row.channel = sales[row.sale_id], channels[row.channel_id]
    attempts, slots = defaultdict(list), defaultdict(set)
    for attempt in PaymentAttempt.objects.filter(reservation__in=ids).order_by("number"):
        attempts[attempt.reservation_id].append(attempt)
    for id_, axis, digest in LimitSlot.objects.filter(reservation__in=ids).values_list(
        "reservation_id", "axis", "digest"
    ):
        slots[id_].add((axis, digest))
    wanted = [request.call for request in requests if isinstance(request.call, int)]
    calls = ApiCall.objects.filter(pk__in=wanted).exclude(attempt="").values_list("pk", "attempt") if wanted else ()
    skus: dict[uuid.UUID, list[str]] = defaultdict(list)
    units = ReservationUnit.objects.filter(reservation__in=ids, active=True)
    for id_, sku in units.values_list("reservation_id", "unit__sku"):
        skus[id_].append(sku)
    return _Known(rows, attempts, slots, dict(calls), skus)


def _judge(request: StartRequest, digested: _Digested, known: _Known, now: datetime) -> Started | _Fresh:
    """What must happen for one request. Changes nothing."""
    row, choice = known.rows.get(request.reservation), request.payment_choice
    if row is None or row.channel_id != request.channel or row.state == ReservationState.ABANDONED:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
    attempts = known.attempts.get(row.pk, [])
    running = next((attempt for attempt in attempts if attempt.is_open), None)
    _refuse_second_attempt(row, running, known.calls.get(request.call) if isinstance(request.call, int) else None)
    if running and has_ended(row, now):
        return Started(row, running, Next.END)
    _refuse_ended(row, now)
    if row.state == ReservationState.HELD and digested.contact_refused:
        raise digested.contact_refused
    account, method = _method(row, choice, now)
    _refuse_wrong_price(row, choice.price, known.skus.get(row.pk, []))
    axes = axes_of(row.sale.campaign_id, bytes(row.sale.campaign.salt))
    own_slots = known.slots.get(row.pk, set())
    _check_identity(axes, own_slots, digested)
    if row.state == ReservationState.CONFIRMED:
        return Started(row, None, Next.NOTHING)
    late = _late_slots(axes, digested.traits)
    if running and (running.method != choice.method or not own_slots.issuperset(late)):
        return Started(row, running, Next.CLOSE)
    attempt = running or _new_attempt(row, account, method, attempts, now)
    if running is None and account.account == payments.PartnerProvider.account:
        # A partner's own reference of the payment. The table refuses it for another order of the channel.
        attempt.provider_id = payments.PartnerProvider.id_of(row.channel_id, choice.instrument)
    # A retry has taken its own slots already.
    late = [slot for slot in late if slot not in own_slots]
    return _Fresh(row, attempt, request, digested, running is None, late)


def _refuse_wrong_price(row: Reservation, price: int, skus: Sequence[str]) -> None:
    """Refuses WRONG_PRICE unless the buyer expects the official price, and the reservation has it, too."""
    official = row.amount
    if row.state != ReservationState.CONFIRMED:
        prices = terms_of(row.sale_id, row.sale.commitment, row.sale.revision).prices
        official = sum(prices[sku] for sku in skus)
    if row.amount != official:
        log.error(
            "the amount of reservation %s is %d; the official price of its units is %d", row, row.amount, official
        )
    if (price, row.amount) != (official, official):
        raise Refused(Outcome.WRONG_PRICE, f"The official price of these units is {official}.")


def _refuse_second_attempt(row: Reservation, running: PaymentAttempt | None, begun: str | None) -> None:
    """Refuses PAYMENT_DECLINED when this call has started a payment attempt before, and that attempt is over."""
    if begun and row.state == ReservationState.HELD and (running is None or running.reference != begun):
        raise Refused(Outcome.PAYMENT_DECLINED, DECLINED)


def _refuse_ended(row: Reservation, now: datetime) -> None:
    if row.state == ReservationState.EXPIRED or (row.state == ReservationState.HELD and has_ended(row, now)):
        raise Refused(Outcome.EXPIRED, "The hold has ended.")
    if row.state not in {ReservationState.HELD, ReservationState.CONFIRMED}:
        raise Refused(Outcome.NOT_HELD, f"The reservation is {row.state}.")


def has_ended(row: Reservation, now: datetime) -> bool:
    """Whether the hold is over: ended in PostgreSQL, or still held there but past its deadline."""
    if row.state == ReservationState.HELD:
        return row.sale.line_ms(ms(now)) >= row.deadline_ms
    return row.state != ReservationState.CONFIRMED


def deadline_of(row: Reservation) -> datetime:
    """The hold's deadline as wall-clock time: the line's clock plus all pauses."""
    return moment(row.deadline_ms + row.sale.paused_ms)


def _method(row: Reservation, choice: PaymentChoice, now: datetime) -> tuple[payments.PaymentProvider, payments.Method]:
    """The account and method of the buyer's choice. Refuses MALFORMED for one that this order cannot be paid with."""
    names = row.channel.payment_accounts or row.sale.campaign.payment_accounts
    found = payments.method_of(choice.method, names=names)
    if found is None:
        offered = ", ".join(one.name for one in payments.methods_of(names=names))
        raise Refused(Outcome.MALFORMED, f"method: one of {offered}.")
    account, method = found
    if method.needs_instrument and not choice.instrument:
        raise Refused(Outcome.MALFORMED, f"instrument: {method.name} needs the provider's token of the card.")
    is_partner = account.account == payments.PartnerProvider.account
    if is_partner and not payments.PartnerProvider.is_reference(choice.instrument):
        raise Refused(
            Outcome.MALFORMED, "instrument: your reference of the payment, 1 to 100 visible ASCII characters."
        )
    if row.state != ReservationState.HELD:
        return account, method
    if not method.amount_min <= row.amount <= method.amount_max:
        raise Refused(
            Outcome.MALFORMED,
            f"method: {method.name} takes {method.amount_min} to {method.amount_max}; choose another.",
        )
    if deadline_of(row) - method.guard - now < method.life_min:
        raise Refused(Outcome.MALFORMED, f"method: too little time is left to pay by {method.name}; choose another.")
    return account, method


def _check_identity(axes: Sequence[CampaignAxis], own_slots: Collection[tuple[str, str]], digested: _Digested) -> None:
    """The axes with which the buyer entered the line must be in `own_slots` (axis, hex digest); else WRONG_IDENTITY."""
    for axis in axes:
        digest = digested.traits.get(Axis(axis.axis))
        entered = axis.hard and not axis.is_late
        if entered and digest is not None and (axis.axis, digest.hex()) not in own_slots:
            raise Refused(Outcome.WRONG_IDENTITY, f"{axis.axis}: not the one that entered the line.")
    if digested.refused:
        raise digested.refused


def _late_slots(axes: Sequence[CampaignAxis], traits: Mapping[Axis, bytes]) -> list[tuple[str, str]]:
    """Axis and hex digest of the hard axes that are first known when the buyer pays.

    A retry keeps the limit slots of the first instrument, because the provider charges the first instrument whatever
    the retry names. Slots for every instrument would refuse other people. Slots for the last instrument alone would let
    the owner of the first one buy again.
    """
    return [(axis.axis, traits[Axis(axis.axis)].hex()) for axis in axes if axis.is_late]


def _new_attempt(
    row: Reservation,
    account: payments.PaymentProvider,
    method: payments.Method,
    attempts: Sequence[PaymentAttempt],
    now: datetime,
) -> PaymentAttempt:
    number = 1 + max((attempt.number for attempt in attempts), default=0)
    return PaymentAttempt(
        reservation=row,
        number=number,
        reference=new_reference(number),
        account=account.account,
        method=method.name,
        amount=row.amount,
        currency=row.sale.campaign.currency,
        state=AttemptState.ASKED,
        # The clock of the line only lags behind the wall clock, so this never lies after the hold.
        expires_at=min(deadline_of(row) - method.guard, now + method.life_max),
        next_look_at=now + FIRST_LOOK,
        made_at=now,
    )


def _write(fresh: Sequence[_Fresh]) -> None:
    """Stores buyers and attempts, so that any process that learns of a payment can confirm its order.

    A retry during the payment may correct contact data and soft axes: the last values count.
    """
    if again := list(
        Contact.objects.filter(reservation__in=[one.row.pk for one in fresh]).values_list("reservation", flat=True)
    ):
        Trait.objects.filter(reservation__in=again).delete()
        Contact.objects.filter(reservation__in=again).delete()
    claim_slots([(one.row.pk, slot, one.row.quantity) for one in fresh for slot in slot_requests(one.row, one.late)])
    traits = [(one.row.pk, str(axis), digest.hex()) for one in fresh for axis, digest in one.digested.traits.items()]
    if traits:
        names = ("reservation_id", "axis", "digest")
        insert(Trait, dict(zip(names, zip(*traits, strict=True), strict=True)))
    insert(
        Contact,
        {
            "reservation_id": [one.row.pk for one in fresh],
            "sealed": [one.digested.sealed for one in fresh],
            "language": [one.request.buyer.language for one in fresh],
            "keep_until": [one.row.sale.closes_at + KEEP_CONTACT for one in fresh],
        },
    )
    attempts = [one.attempt for one in fresh if one.is_new]
    if attempts:
        fields = (
            "reservation_id", "number", "reference", "account", "method", "amount", "currency", "state", "expires_at",
            "provider_id", "next_look_at", "made_at",
        )  # fmt: skip
        insert(PaymentAttempt, {name: [getattr(attempt, name) for attempt in attempts] for name in fields})
    bound = [(one.request.call, one.attempt.reference) for one in fresh if isinstance(one.request.call, int)]
    if bound:
        update(ApiCall, "id", {"id": [id_ for id_, _ in bound], "attempt": [name for _, name in bound]})


def slot_requests(row: Reservation, digests: Collection[tuple[str, str]]) -> list[SlotRequest]:
    """The limit slots on these (axis, digest), in the campaign's limit and in the sale's own."""
    campaign = row.sale.campaign
    limits = [(LimitSlot.campaign_scope(campaign.pk), campaign.limit)]
    if row.sale.limit:
        limits.append((LimitSlot.sale_scope(row.sale_id), row.sale.limit))
    return [SlotRequest(scope, axis, digest, limit) for scope, limit in limits for axis, digest in digests]
