"""Counts the letters about orders in the outbox, and compares them with the orders."""

from collections import Counter
from collections.abc import Iterator, Sequence

from django.db.models import F, QuerySet

from flashsale.models import Event, Notice, Refund, Reservation
from flashsale.rules.events import EventType
from flashsale.rules.states import NoticeState, RefundState, ReservationState
from simulation.observations import Check, make_check
from simulation.outbox import Mail
from simulation.story import Story, wait_for

LETTERS_S = 60.0
COUNTED = (Notice.Kind.CONFIRMED.value, Notice.Kind.EXPIRED.value, Notice.Kind.REFUNDED.value)
Letter = tuple[str, str]


def counted(story: Story, *, sales: Sequence[str]) -> Check:
    """One letter for each confirmed order, each hold that ended while its buyer was to pay, and each refund.

    Others who began to pay may get a letter about the end of their hold, at most one. Buyers of partners that write to
    their own buyers get none.
    """
    letters = Notice.objects.filter(sale__code__in=sales, kind__in=Notice.ABOUT_ORDERS)
    # A letter about how to pay waits for a minute, and is not one of those that are counted.
    waiting = letters.filter(state=NoticeState.DUE).exclude(kind=Notice.Kind.HELD)
    wait_for(lambda: not waiting.exists(), seconds=LETTERS_S)
    story.outbox.scan()
    needed = Counter(_needed(sales))
    allowed = needed | Counter(_allowed(sales))
    orders = {str(id_) for id_ in Reservation.objects.filter(sale__code__in=sales).values_list("pk", flat=True)}
    found = Counter(letter for letter in _in_outbox(story.outbox.mails) if letter[1] in orders)
    broken = [
        f"{found[letter]} letters ({letter[0]}) about {letter[1]}, not {needed[letter] or allowed[letter]}"
        for letter in sorted(found | needed)
        if not needed[letter] <= found[letter] <= allowed[letter]
    ]
    kinds = Counter(kind for kind, _ in found.elements())
    shown = ", ".join(f"{kinds[kind]} {kind}" for kind in COUNTED)
    return make_check(5, "each order of our page has its letters, once", broken, shown, "one each, none for partners")


def _own(sales: Sequence[str]) -> QuerySet[Reservation]:
    return Reservation.objects.filter(sale__code__in=sales, channel__order_letters=True)


def _needed(sales: Sequence[str]) -> Iterator[Letter]:
    own = _own(sales)
    for id_ in own.filter(confirmed_at__isnull=False).values_list("pk", flat=True):
        yield Notice.Kind.CONFIRMED.value, str(id_)
    # Their payment was under way when the hold ended, so we knew their address.
    unpaid = own.filter(state=ReservationState.EXPIRED, attempts__settled_at__gte=F("ended_at"))
    for id_ in unpaid.distinct().values_list("pk", flat=True):
        yield Notice.Kind.EXPIRED.value, str(id_)
    on_way = Refund.objects.filter(attempt__reservation__in=own, state__in=[RefundState.SENT, RefundState.CONFIRMED])
    for id_ in on_way.values_list("attempt__reservation", flat=True):
        yield Notice.Kind.REFUNDED.value, str(id_)


def _allowed(sales: Sequence[str]) -> Iterator[Letter]:
    """Who began to pay has told us an address, and may hear of the end of the hold.

    The address is deleted when nothing needs it any more, so a person whose payment had failed hears or does not. A
    person whose late money took the units once more may have heard of the end before.
    """
    began = _own(sales).filter(attempts__isnull=False)
    ends = Event.objects.filter(type=EventType.RESERVATION_EXPIRED, reservation__in=began)
    for id_ in set(ends.values_list("reservation", flat=True)):
        yield Notice.Kind.EXPIRED.value, str(id_)


def _in_outbox(mails: Sequence[Mail]) -> Iterator[Letter]:
    """Kind and order of each letter that is counted. The Message-ID is <kind-number-order@flashsale>."""
    for mail in mails:
        kind, _, rest = mail.message_id.strip("<>").partition("-")
        if kind in COUNTED:
            yield kind, rest.partition("-")[2].partition("@")[0]
