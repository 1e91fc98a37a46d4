"""Judge: whether a payment may start, and how, by what PostgreSQL (the books) knows of its reservation."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from flashsale.books.orders import Place
from flashsale.books.terms import terms_of
from flashsale.life.buyer_digests import Digested, axes_of, check_identity, digest_buyer, late_slots
from flashsale.life.payment_request import CallKey, Next, PaymentChoice, Started, StartRequest
from flashsale.models import Channel, PaymentAttempt, Reservation
from flashsale.models.payment import new_reference
from flashsale.models.sale import moment, ms
from flashsale.providers import payments
from flashsale.rules.clock import hold_grace_ms
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import ENDED_UNPAID, AttemptState, ReservationState

log = logging.getLogger(__name__)
FIRST_LOOK = timedelta(seconds=30)
PAID_BEFORE = (
    "Another payment has confirmed this order, and this one does not count. Cancel or refund this one; the order stays."
)
DECLINED = "The units stay held; choose another way to pay, under another Idempotency-Key."


class Known(NamedTuple):
    """What PostgreSQL has of the reservations of a batch, locked.

    `calls` has the reference of the attempt that a call started before. `places` are where they were made, and `skus`
    those of the units.
    """

    rows: Mapping[uuid.UUID, Reservation]
    attempts: Mapping[uuid.UUID, list[PaymentAttempt]]
    slots: Mapping[uuid.UUID, set[tuple[str, str]]]
    calls: "Mapping[CallKey | int | None, str]"
    places: Mapping[uuid.UUID, Place]
    skus: Mapping[uuid.UUID, list[str]]


class Fresh(NamedTuple):
    """An attempt to write, with the buyer of its reservation."""

    row: Reservation
    attempt: PaymentAttempt
    request: StartRequest
    digested: Digested
    is_new: bool
    had_attempts: bool
    late: list[tuple[str, str]]


def judge(request: StartRequest, known: Known, now: datetime) -> Started | Fresh:
    """What must happen for one request. Changes nothing."""
    row, choice = known.rows.get(request.reservation), request.payment_choice
    if row is None or row.channel_id != request.channel or row.state == ReservationState.ABANDONED:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
    attempts = known.attempts.get(row.pk, [])
    running = next((attempt for attempt in attempts if attempt.is_open), None)
    _refuse_second_attempt(row, running, known.calls.get(request.call))
    # Only a partner has taken the money before it confirms. For other payments there is no time left to begin.
    by_partner = choice.method == payments.PartnerProvider.account
    grace_ms = hold_grace_ms(row.sale.hold_s * 1000) if by_partner else 0
    if running and has_ended(row, now, grace_ms):
        return Started(row, running, Next.END)
    refuse_ended(row, now, grace_ms)
    digested = digest_buyer(request, row.sale.campaign)
    if row.state == ReservationState.HELD and digested.contact_refused:
        raise digested.contact_refused
    account, method = _method(row, request, known.places[row.pk], now - timedelta(milliseconds=grace_ms))
    _refuse_wrong_price(row, choice.price, known.skus.get(row.pk, []))
    axes = axes_of(row.sale.campaign)
    own_slots = known.slots.get(row.pk, set())
    check_identity(axes, own_slots, digested)
    if row.state == ReservationState.CONFIRMED:
        _refuse_second_payment(row, account, choice, attempts)
        return Started(row, None, Next.NOTHING)
    late = late_slots(axes, digested.traits)
    changed = running and (running.method != choice.method or _names_another(row, running, account, choice))
    if running and (changed or not own_slots.issuperset(late)):
        _refuse_known_reference(row, account, choice)
        return Started(row, running, Next.CLOSE)
    attempt = running or _new_attempt(row, account, method, attempts, now)
    if running is None and account.account == payments.PartnerProvider.account:
        # A partner's own reference of the payment. The table refuses it for another order of the channel.
        attempt.provider_id = payments.PartnerProvider.id_of(row.channel_id, choice.instrument)
    # A retry has taken its own slots already.
    late = [slot for slot in late if slot not in own_slots]
    return Fresh(row, attempt, request, digested, running is None, bool(attempts), late)


def _names_another(
    row: Reservation, running: PaymentAttempt, account: payments.PaymentProvider, choice: PaymentChoice
) -> bool:
    """Whether a partner names another payment of its own than the one under way, which would count in its place."""
    own = account.account == running.account == payments.PartnerProvider.account
    return own and running.provider_id != payments.PartnerProvider.id_of(row.channel_id, choice.instrument)


def _refuse_second_payment(
    row: Reservation, account: payments.PaymentProvider, choice: PaymentChoice, attempts: Sequence[PaymentAttempt]
) -> None:
    """Refuses NOT_HELD when a partner says that it has taken money for an order that other money has paid already.

    The partner reads "confirmed" as "my money counts". The reference that has paid gets the order, under any key,
    because its first answer may be lost. Another method charges nothing for a confirmed order, so it is not refused.
    """
    if account.account != payments.PartnerProvider.account:
        return
    named = (account.account, payments.PartnerProvider.id_of(row.channel_id, choice.instrument))
    if named not in {(one.account, one.provider_id) for one in attempts if one.state == AttemptState.PAID}:
        raise Refused(Outcome.NOT_HELD, PAID_BEFORE)


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


def _refuse_known_reference(row: Reservation, account: payments.PaymentProvider, choice: PaymentChoice) -> None:
    """Refuses KEY_REUSED for a partner's reference that pays for another order, before the payment under way ends.

    The table refuses it, too, when both orders come at the same time.
    """
    if account.account == payments.PartnerProvider.account:
        known = payments.PartnerProvider.id_of(row.channel_id, choice.instrument)
        others = PaymentAttempt.objects.filter(account=account.account, provider_id=known)
        if others.exclude(reservation=row).exclude(state__in=ENDED_UNPAID).exists():
            raise Refused(Outcome.KEY_REUSED, "This reference has paid for another order.")


def refuse_ended(row: Reservation, now: datetime, grace_ms: int = 0) -> None:
    """Refuses EXPIRED and NOT_HELD for a reservation that has ended; accepts a confirmed one."""
    is_over = row.state == ReservationState.HELD and has_ended(row, now, grace_ms)
    if row.state == ReservationState.EXPIRED or is_over:
        raise Refused(Outcome.EXPIRED, "The hold has ended.")
    if row.state not in {ReservationState.HELD, ReservationState.CONFIRMED}:
        raise Refused(Outcome.NOT_HELD, f"The reservation is {row.state}.")


def has_ended(row: Reservation, now: datetime, grace_ms: int = 0) -> bool:
    """Whether the hold is over: ended in PostgreSQL, or held there although its deadline passed `grace_ms` ago."""
    if row.state == ReservationState.HELD:
        return row.sale.line_ms(ms(now)) >= row.deadline_ms + grace_ms
    return row.state != ReservationState.CONFIRMED


def deadline_of(row: Reservation) -> datetime:
    """The hold's deadline as wall-clock time: the line's clock plus all pauses."""
    return moment(row.deadline_ms + row.sale.paused_ms)


def _method(
    row: Reservation, request: StartRequest, place: Place, now: datetime
) -> tuple[payments.PaymentProvider, payments.Method]:
    """The account and method of the buyer's choice. Refuses MALFORMED for one that this order cannot be paid with."""
    campaign, choice = row.sale.campaign, request.payment_choice
    names = place.accounts or campaign.payment_accounts
    # The shop behind our page says with its key that the buyer has paid. Without a key, the buyer would say it.
    own_page = place.kind == Channel.Kind.OWN_PAGE and not request.has_key
    found = payments.method_of(choice.method, names=names, own_page=own_page, test=campaign.is_test)
    if found is None:
        known = payments.methods_of(names=names, own_page=own_page, test=campaign.is_test)
        offered = ", ".join(one.name for one in known)
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
