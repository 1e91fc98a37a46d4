"""What was reserved with the place that this browser keeps, on whichever device; the books alone are asked."""

from django.db.models import QuerySet
from django.http import HttpRequest

from flashsale.life import places
from flashsale.models import Channel, Reservation
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import ReservationState
from flashsale.rules.tokens import Place


def place(request: HttpRequest, *, code: str) -> Place:
    """The place in this browser's cookie; refuses BAD_TOKEN."""
    return places.read(request.COOKIES.get(f"fs_place_{code}", ""))


def reservations(request: HttpRequest, *, code: str) -> QuerySet[Reservation]:
    """What was made with the place on our own page: one, but for those that never came about; refuses NOT_FOUND."""
    try:
        mine = place(request, code=code)
    except Refused as refused:
        raise Refused(Outcome.NOT_FOUND, "This browser has no place in this sale.") from refused
    return Reservation.objects.exclude(state=ReservationState.ABANDONED).filter(
        sale__code=code, sale_id=mine.sale, allocation__number=mine.line, index=mine.index,
        channel__kind=Channel.Kind.OWN_PAGE,
    )  # fmt: skip
