"""Reservations of the place in this browser's cookie, made on any device. Reads PostgreSQL (the books) only."""

from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from flashsale.life import places
from flashsale.models import Channel, LimitSlot, Reservation, Trait, UnpaidHold
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import ReservationState
from flashsale.rules.tokens import Place


def place(request: HttpRequest, *, code: str) -> Place:
    """The place in this browser's cookie; refuses BAD_TOKEN."""
    return places.open_token(request.COOKIES.get(f"fs_place_{code}", ""))


def reservations(request: HttpRequest, *, code: str) -> QuerySet[Reservation]:
    """The reservation that was made with this place on our own page, without abandoned ones; refuses NOT_FOUND.

    One axis of an identity (phone or e-mail) is enough to find a place again, but an order needs all axes to match. So
    an attacker who controls only the mailbox of a buyer cannot cancel the buyer's order.
    """
    try:
        own_place = place(request, code=code)
    except Refused as refused:
        raise Refused(Outcome.NOT_FOUND, "This browser has no place in this sale.") from refused
    found = Reservation.objects.exclude(state=ReservationState.ABANDONED).filter(
        sale__code=code,
        sale_id=own_place.sale,
        allocation__line_id=own_place.line,
        index=own_place.index,
        channel__kind=Channel.Kind.OWN_PAGE,
    )
    for model in (LimitSlot, Trait, UnpaidHold):
        for axis, digest in own_place.digests.items():
            others = model.objects.filter(reservation=OuterRef("pk"), axis=axis.value).exclude(digest=digest.hex())
            found = found.exclude(Exists(others))
    return found


def one(found: QuerySet[Reservation]) -> Reservation:
    """The reservation that was found; refuses NOT_FOUND."""
    row = found.first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
    return row
