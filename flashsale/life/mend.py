"""Mend: offers the gate the units that PostgreSQL has free and the gate does not know."""

from flashsale.gate import load, scripts
from flashsale.gate.sale_card import SaleCard
from flashsale.life.db_threads import in_books
from flashsale.models import ListEntry, Unit
from flashsale.rules.states import UnitState


async def mend(*, card: SaleCard) -> int:
    """Offers every unit to the gate that is free in the books and not known there; how many were missing. It hears
    who is on a line's list, too.

    A message from the books may be lost with the process that carried it; this finds what it said.
    """
    offered = 0
    for line in card.lines:
        free = await in_books(_free_units, line.id)
        for start in range(0, len(free), load.CHUNK):
            answer = await scripts.give_back(card, line, units=free[start : start + load.CHUNK])
            offered += answer if isinstance(answer, int) else 0
        if line.listed_only:
            await load.put_on_list(card, line=line.line_id, digests=await in_books(_listed, line.id))
    return offered


def _listed(allocation: int) -> list[str]:
    return list(ListEntry.objects.filter(allocation=allocation).values_list("digest", flat=True))


def _free_units(allocation: int) -> list[tuple[int, int, str]]:
    rows = Unit.objects.filter(allocation=allocation, state=UnitState.FREE)
    return list(rows.values_list("id", "version", "sku"))
