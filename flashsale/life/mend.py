"""Mend: sends Redis the free units and the list entries that PostgreSQL has and Redis does not."""

from flashsale.gate import load, scripts
from flashsale.gate.sale_card import SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import ListEntry, Unit
from flashsale.rules.states import UnitState


async def mend(*, card: SaleCard) -> int:
    """Sends Redis all free units and list entries of a sale. Returns how many units Redis did not offer before.

    A process may die after its commit in PostgreSQL and before its message to Redis. This sends what was lost. It is
    safe to repeat, because Redis applies only a newer version of a unit.
    """
    offered = 0
    for line in card.lines:
        free = await run_in_db_thread(_free_units, line.id)
        for start in range(0, len(free), load.CHUNK):
            answer = await scripts.give_back(card, line, units=free[start : start + load.CHUNK])
            offered += answer if isinstance(answer, int) else 0
        if line.listed_only:
            await load.put_on_list(card, line=line.line_id, digests=await run_in_db_thread(_listed, line.id))
    return offered


def _listed(allocation: int) -> list[str]:
    return list(ListEntry.objects.filter(allocation=allocation).values_list("digest", flat=True))


def _free_units(allocation: int) -> list[tuple[int, int, str]]:
    rows = Unit.objects.filter(allocation=allocation, state=UnitState.FREE)
    return list(rows.values_list("id", "version", "sku"))
