"""Give back: Redis (the gate) learns which reservations have ended in PostgreSQL, and offers their units again."""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from flashsale.books.endings import EndedReservation, describe_all_ended
from flashsale.gate import inspect, scripts
from flashsale.gate.sale_card import SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import Appeal, Cancellation, Reservation, Sale
from flashsale.models.sale import ms
from flashsale.rules import wall_clock
from flashsale.rules.states import ReservationState

# A buyer who pays waits while PostgreSQL ends the batch that contains their hold. The requests of a web process wait
# while it sends the batch to Redis. So a batch is small.
AT_ONCE = 100
# Longer than any process pauses between a commit and its message to Redis. Later only a rebuild finds a lost message.
LATELY = timedelta(hours=1)


async def resend_ended(*, card: SaleCard) -> int:
    """Tells Redis again about reservations that have ended in PostgreSQL and are still held in Redis; returns how many.

    The first message of these was lost.
    """
    ended = await run_in_db_thread(_ended_lately, card.sale, wall_clock.now())
    missed = await inspect.still_held(card, [str(id_) for id_ in ended])
    for start in range(0, len(missed), AT_ONCE):
        batch = await run_in_db_thread(_describe_ended, missed[start : start + AT_ONCE])
        await asyncio.gather(*(give_back(card=card, ended=one) for one in batch))
    return len(missed)


def sales_with_late_ends(now: datetime) -> set[int]:
    """The ids of the sales in which a reservation or its last right has ended lately (as in `_ended_lately`)."""
    lately = (now - LATELY, now)
    ended = Reservation.objects.filter(ended_at__range=lately).values_list("sale", flat=True)
    over = Cancellation.objects.filter(appeal_until__range=lately).values_list("reservation__sale", flat=True)
    decided = Appeal.objects.filter(decided_at__range=lately).values_list("case__reservation__sale", flat=True)
    return {*ended.distinct(), *over.distinct(), *decided.distinct()}


def _ended_lately(sale: int, now: datetime) -> list[uuid.UUID]:
    lately = Q(ended_at__gt=now - LATELY) | Q(cancellation__appeal_until__range=(now - LATELY, now))
    lately |= Q(case__appeal__decided_at__gt=now - LATELY)
    rows = Reservation.objects.filter(lately, sale=sale, ended_at__isnull=False, limit_slots=None)
    # An expired hold is due in Redis until Redis is told, so the reaper sends those. Holds that ended while Redis was
    # away (expire_without_gate.py) may not be due there yet.
    line_ms = Sale.objects.select_related("clock").get(pk=sale).line_ms(ms(now))
    rows = rows.exclude(state=ReservationState.EXPIRED, deadline_ms__lte=line_ms)
    return list(rows.values_list("pk", flat=True))


@transaction.atomic
def _describe_ended(ids: Sequence[str]) -> list[EndedReservation]:
    return describe_all_ended(list(Reservation.objects.filter(pk__in=ids)))


async def give_back(*, card: SaleCard, ended: EndedReservation) -> None:
    """Tells Redis about an end that PostgreSQL has committed. Late and repeated messages change nothing."""
    line = card.line_of_allocation(ended.allocation)
    await scripts.give_back(
        card,
        line,
        reservation=ended.reservation,
        frees_limit=ended.frees_limit,
        how=ended.how,
        units=_sold_by_line(line.skus, ended.units),
    )


def _sold_by_line(skus: Iterable[str], units: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    offered = set(skus)
    return [unit for unit in units if unit[2] in offered]
