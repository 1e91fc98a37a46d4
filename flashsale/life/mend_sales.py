"""Mend sales: finds in bulk what Redis has not received of any sale, and sends it again.

A process may die after its commit in PostgreSQL and before its message to Redis. One process compares both every 10 s.
It compares counts of all sales in a few queries, and reads a sale itself only where they differ. So an idle
installation with a thousand sales costs a few milliseconds, and a large stock is counted but not sent.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count

from flashsale.gate import inspect, sale_cards
from flashsale.life import give_back, sale_control
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.mend import mend
from flashsale.life.rebuild import live_sales
from flashsale.life.resend_confirmed import resend_confirmed, sales_with_late_orders
from flashsale.models import ListEntry, Move, Record, Sale, Unit
from flashsale.rules import wall_clock
from flashsale.rules.states import UnitState

log = logging.getLogger(__name__)
# Decisions and moves that are looked at. More in ten seconds are found when all stock is compared.
NEWEST = 100
# Every web process relies on the cards of these sales, so a wrong one must not stay.
NEAR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Books:
    """What PostgreSQL has. A sale is (campaign id, sale id).

    `revisions`: code → sale and its last decision. `free`: (sale, line id, SKU) → free units. `listed`: (sale, line id)
    → people on the line's list. `ended`: ids of sales in which a reservation has ended lately. `near`: ids of sales
    that run or open within NEAR.
    """

    revisions: dict[str, tuple[tuple[int, int], int]]
    free: dict[tuple[tuple[int, int], int, str], int]
    listed: dict[tuple[tuple[int, int], int], int]
    ended: set[int]
    near: set[int]


async def mend_sales(*, whole: bool) -> None:
    """Sends again what Redis has not received of its sales: decisions, orders, ended reservations, units and lists.

    Without `whole`, units and lists are compared only in sales about which something was decided or ended lately, and
    the sale cards only of sales that run or open soon.
    """
    books = await run_in_db_thread(_read_books, whole=whole)
    behind = await _sales_behind(books)
    for code, (where, _) in books.revisions.items():
        if not (where[1] in behind | books.near or whole) or not (card := await sale_cards.card_of(code)):
            continue
        resent = int(await sale_control.resend_decision(card=card))
        if where[1] in behind:
            resent += await resend_confirmed(card=card)
            resent += await give_back.resend_ended(card=card) + await mend(card=card)
        if resent:
            log.warning("%s: %s messages to Redis had been lost and were sent again", code, resent)


async def _sales_behind(books: _Books) -> set[int]:
    """The ids of the sales of which Redis may not have received everything."""
    sales = [where for where, _ in books.revisions.values()]
    revisions = zip(books.revisions.values(), await inspect.revisions(sales), strict=True)
    offered = zip(books.free.items(), await inspect.count_offered(list(books.free)), strict=True)
    listed = zip(books.listed.items(), await inspect.count_listed(list(books.listed)), strict=True)
    behind = {where[1] for (where, decided), applied in revisions if applied is not None and applied < decided}
    behind |= {where[1] for ((where, _, _), free), known in offered if known != free}
    behind |= {where[1] for ((where, _), people), known in listed if known < people}
    return behind | books.ended


def _read_books(*, whole: bool) -> _Books:
    live = {sale: campaign for campaign, sale in live_sales().values()}
    now = wall_clock.now()
    ended = give_back.sales_with_late_ends(now) | sales_with_late_orders(now)
    stock = set(live) if whole else set(live) & (ended | _decided_lately())
    rows = Sale.objects.filter(pk__in=live).values_list("code", "campaign_id", "pk", "revision")
    units = Unit.objects.filter(allocation__sale__in=stock, state=UnitState.FREE)
    lists = ListEntry.objects.filter(allocation__sale__in=stock, allocation__listed_only=True)
    by_line = ("allocation__sale", "allocation__line_id")
    return _Books(
        revisions={code: ((campaign, sale), revision) for code, campaign, sale, revision in rows},
        free={
            ((live[sale], sale), line, sku): free
            for sale, line, sku, free in units.values_list(*by_line, "sku").annotate(Count("pk")).order_by()
        },
        listed={
            ((live[sale], sale), line): people
            for sale, line, people in lists.values_list(*by_line).annotate(Count("pk")).order_by()
        },
        ended=ended,
        near=set(
            Sale.objects.filter(pk__in=live, opens_at__lt=now + NEAR, closes_at__gt=now).values_list("pk", flat=True)
        ),
    )


def _decided_lately() -> set[int]:
    """The ids of the sales of the last decisions, and of those to which units have moved last."""
    decided = Record.objects.filter(sale__isnull=False).order_by("-position").values_list("sale", flat=True)
    moved = Move.objects.order_by("-pk").values_list("target__sale", flat=True)
    return {*decided[:NEWEST], *moved[:NEWEST]}
