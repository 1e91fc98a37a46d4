"""What was reserved with the place that this browser keeps, on whichever device; the books alone are asked."""

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
    """What was made with the place on our own page: one, but for those that never came about; refuses NOT_FOUND.

    A part of what somebody is known by leads to their place, but only all of it to their order: whoever has got hold of
    a mailbox alone must not cancel what was bought with it.
    """
    try:
        mine = place(request, code=code)
    except Refused as refused:
        raise Refused(Outcome.NOT_FOUND, "This browser has no place in this sale.") from refused
    found = Reservation.objects.exclude(state=ReservationState.ABANDONED).filter(
        sale__code=code, sale_id=mine.sale, allocation__line_id=mine.line, index=mine.index,
        channel__kind=Channel.Kind.OWN_PAGE,
    )  # fmt: skip
    for known in (LimitSlot, Trait, UnpaidHold):
        for axis, digest in mine.digests.items():
            others = known.objects.filter(reservation=OuterRef("pk"), axis=axis.value).exclude(digest=digest.hex())
            found = found.exclude(Exists(others))
    return found
