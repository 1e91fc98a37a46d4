"""Resend: Redis (the gate) hears of orders whose confirmation was lost, within the period of mending."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from flashsale.gate import inspect, scripts
from flashsale.gate.client import GateCache
from flashsale.gate.sale_card import SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import Reservation
from flashsale.rules import wall_clock
from flashsale.rules.states import ReservationState

# How far a process looks back the first time, and how far before its last look. Longer than any process pauses between
# a commit and its message to Redis; what is lost before that is sent when the hold comes due.
FIRST, OVERLAP = timedelta(hours=1), timedelta(seconds=20)
# A message that is younger than this may still be on its way.
ON_ITS_WAY = timedelta(seconds=1)
# By commitment of the sale: when this process looked last.
LOOKED: GateCache[str, datetime] = GateCache()


class _Order(NamedTuple):
    """A confirmed reservation, as Redis knows it."""

    id: str
    allocation: int
    quantity: int


async def resend_confirmed(*, card: SaleCard) -> int:
    """Tells Redis again about orders that PostgreSQL confirmed and that still come due in Redis; returns how many.

    It looks only at orders since the last look, so its work grows with the orders of ten seconds and not with the sale.
    """
    now, looked = wall_clock.now(), LOOKED.entries()
    since = looked.get(card.commitment, now - FIRST) - OVERLAP
    orders = await run_in_db_thread(_confirmed_between, card.sale, since, now - ON_ITS_WAY)
    missed = set(await inspect.still_due(card, [order.id for order in orders]))
    for order in orders:
        if order.id in missed:
            line = card.line_of_allocation(order.allocation)
            await scripts.confirm(card, line, reservation=order.id, quantity=order.quantity)
    looked[card.commitment] = now
    return len(missed)


def sales_with_late_orders(now: datetime) -> set[int]:
    """The ids of the sales with orders that were confirmed lately, of which Redis may not have heard."""
    rows = Reservation.objects.filter(state=ReservationState.CONFIRMED, confirmed_at__gt=now - FIRST)
    return set(rows.order_by().values_list("sale", flat=True).distinct())


def _confirmed_between(sale: int, since: datetime, until: datetime) -> Sequence[_Order]:
    rows = Reservation.objects.filter(sale=sale, state=ReservationState.CONFIRMED, confirmed_at__range=(since, until))
    return [_Order(str(pk), line, quantity) for pk, line, quantity in rows.values_list("pk", "allocation", "quantity")]
