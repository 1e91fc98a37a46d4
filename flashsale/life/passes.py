"""Passes: a buyer takes a held reservation to the checkout of another shop, which redeems the pass once.

A pass moves nothing: the hold stays what it is, with its deadline. The shop confirms the reservation with its key.
"""

from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet

from flashsale.life.judge_payment import deadline_of, refuse_ended
from flashsale.life.receipt import public_keys, signer
from flashsale.models import Channel, CheckoutPass, Reservation
from flashsale.rules import passes, receipts, wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import ReservationState


class IssuedPass(NamedTuple):
    """A pass as text, and the address that takes it."""

    text: str
    checkout_url: str


class RedeemedPass(NamedTuple):
    """A pass that is used up. `number` counts the passes of its reservation: the newest visit is the buyer's."""

    id: str
    number: int
    reservation: Reservation
    redeemed_at: datetime


def issue(*, reservation: Reservation) -> IssuedPass:
    """A new pass of a held reservation. It ends after PASS_S, and no later than the hold. All older ones are worthless.

    If the process dies after the commit, the caller gets no pass, and asks for the next one.
    Refuses NOT_FOUND for a channel without a checkout, EXPIRED and NOT_HELD.
    """
    channel, now = reservation.channel, wall_clock.now()
    if not channel.checkout_url:
        raise Refused(Outcome.NOT_FOUND, "This channel has no checkout of its own.")
    _refuse_unless_held(reservation, now)
    with transaction.atomic():
        CheckoutPass.objects.get_or_create(reservation=reservation)
        CheckoutPass.objects.filter(reservation=reservation).update(issued=F("issued") + 1)
        number = CheckoutPass.objects.values_list("issued", flat=True).get(reservation=reservation)
    made = passes.Pass(
        issuer=settings.FLASHSALE_URL,
        audience=_audience(channel),
        sale=reservation.sale.code,
        reservation=reservation.pk,
        number=number,
        made=int(now.timestamp()),
        # The clock of the line only lags behind the wall clock, so this never lies after the hold.
        expires=min(int(now.timestamp()) + passes.PASS_S, int(deadline_of(reservation).timestamp())),
    )
    return IssuedPass(passes.sign(made, signer()), channel.checkout_url)


def redeem(*, text: str, channel: int, call: int) -> RedeemedPass:
    """Uses a pass up, for the shop of this channel. `call` is the id of the request: the same one redeems again.

    1. Reads the pass and the reservation, and changes nothing.
    2. PostgreSQL marks the pass as redeemed by this call, if it is the newest one and is not used. If the process dies
       after this, the same request finds its own mark and gets the same result.
    Refuses BAD_PASS (not signed by us, or for another channel), EXPIRED and NOT_HELD (the hold has ended), PASS_OVER
    (the pass has ended), PASS_SPENT (it was redeemed by another request, or the buyer has a newer one).
    """
    brought = _read(text)
    row = (
        Reservation.objects.exclude(state=ReservationState.ABANDONED)
        .select_related("sale__campaign", "channel__campaign")
        .filter(pk=brought.reservation, channel=channel)
        .first()
    )
    if row is None or _audience(row.channel) != brought.audience:
        raise Refused(Outcome.BAD_PASS, "No pass of this channel.")
    ours = CheckoutPass.objects.filter(reservation=row, redeemed=brought.number)
    mark = ours.filter(call=call).first()
    if mark is None:
        now = wall_clock.now()
        _refuse_unless_held(row, now)
        if now.timestamp() >= brought.expires:
            raise Refused(Outcome.PASS_OVER, "The pass has ended. The buyer gets a new one on our page.")
        if not _unused(row, brought.number).update(redeemed=brought.number, redeemed_at=now, call=call):
            mark = ours.filter(call=call).first()  # the same request, at the same time
            if mark is None:
                raise Refused(Outcome.PASS_SPENT, "The pass was redeemed before, or the buyer has a newer one.")
    redeemed_at = mark.redeemed_at if mark else now
    assert redeemed_at is not None, "a pass that is redeemed has a time"
    return RedeemedPass(brought.id, brought.number, row, redeemed_at)


def _unused(row: Reservation, number: int) -> QuerySet[CheckoutPass]:
    """The row of the reservation, if this is its newest pass and was not redeemed."""
    return CheckoutPass.objects.filter(reservation=row, issued=number, redeemed__lt=number)


def _read(text: str) -> passes.Pass:
    try:
        return passes.read(text, receipts.publics(public_keys()))
    except passes.NotAPass as error:
        raise Refused(Outcome.BAD_PASS, "No pass of ours.") from error


def _audience(channel: Channel) -> str:
    return passes.audience(campaign=channel.campaign.code, channel=channel.code)


def _refuse_unless_held(row: Reservation, now: datetime) -> None:
    """Refuses EXPIRED and NOT_HELD unless the reservation waits for its payment."""
    refuse_ended(row, now)
    if row.state != ReservationState.HELD:
        raise Refused(Outcome.NOT_HELD, f"The reservation is {row.state}.")
