"""Give back: the gate learns which reservations have ended in PostgreSQL, and offers their units again."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from flashsale.books.endings import EndedReservation, ended_before_all
from flashsale.gate import inspect, scripts
from flashsale.gate.sale_card import SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import Reservation
from flashsale.rules.states import ReservationState

# Whoever pays waits while the books end the batch their hold is in; so do a door's requests while the gate hears of it.
AT_ONCE = 100
# Longer than any process is away between a commit and its message; later only a rebuild would notice.
LATELY = timedelta(hours=1)


async def tell_again(*, card: SaleCard) -> int:
    """Tells the gate of the ends that it has not heard of although the books have them; how many."""
    ended = await run_in_db_thread(_ended_lately, card.sale, timezone.now())
    missed = await inspect.still_held(card, [str(id_) for id_ in ended])
    for start in range(0, len(missed), AT_ONCE):
        some = await run_in_db_thread(_ended, missed[start : start + AT_ONCE])
        await asyncio.gather(*(give(card=card, ended=one) for one in some))
    return len(missed)


def _ended_lately(sale: int, now: datetime) -> list[uuid.UUID]:
    lately = Q(ended_at__gt=now - LATELY) | Q(cancellation__appeal_until__range=(now - LATELY, now))
    lately |= Q(case__appeal__decided_at__gt=now - LATELY)
    rows = Reservation.objects.filter(lately, sale=sale, ended_at__isnull=False, limit_slots=None)
    # What expired stays due in the gate until it hears of it: the reaper tells it.
    rows = rows.exclude(state=ReservationState.EXPIRED)
    return list(rows.values_list("pk", flat=True))


@transaction.atomic
def _ended(ids: Sequence[str]) -> list[EndedReservation]:
    return ended_before_all(list(Reservation.objects.filter(pk__in=ids)))


async def give(*, card: SaleCard, ended: EndedReservation) -> None:
    """Tells the gate of an end that the books have committed; late and repeated messages change nothing."""
    line = card.line_of_allocation(ended.allocation)
    await scripts.give(
        card, line, reservation=ended.reservation, frees_limit=ended.frees_limit, how=ended.how,
        units=_sold_here(line.skus, ended.units),
    )  # fmt: skip


def _sold_here(skus: Iterable[str], units: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    offered = set(skus)
    return [unit for unit in units if unit[2] in offered]
