"""Tell: Redis (the gate) learns of orders that PostgreSQL (the books) has confirmed."""

import logging

from flashsale.gate import scripts
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.sale_card import card_of
from flashsale.models import Reservation, Sale

log = logging.getLogger(__name__)


def _cards_for_keys(sale: int, commitment: str, allocation: int) -> tuple[SaleCard, LineCard]:
    """Sale card and line card, good only for the Redis keys of a line, because the rest of the card may be old.

    The keys never change, so keeping them saves ten queries for each order. The commitment is part of the key, because
    a restored database may use an id again.
    """
    card = card_of(Sale.objects.select_related("campaign").get(pk=sale, commitment=commitment))
    return card, card.line_of_allocation(allocation)


_cards: dict[tuple[int, str, int], tuple[SaleCard, LineCard]] = {}


async def tell_gate(row: Reservation) -> None:
    """Tells Redis of a confirmed order. Those of one line that come at the same time share a call."""
    where = (row.sale_id, row.sale.commitment, row.allocation_id)
    if where not in _cards:
        if len(_cards) > 256:
            _cards.clear()
        _cards[where] = await run_in_db_thread(_cards_for_keys, *where)
    card, line = _cards[where]
    try:
        await scripts.confirm(card, line, reservation=str(row.pk), quantity=row.quantity)
    except GateDown as error:
        log.warning("Redis was not told that %s is confirmed; mending tells it: %s", row.pk, error)
