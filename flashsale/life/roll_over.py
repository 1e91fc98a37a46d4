"""Roll over: after `rolls_over_at`, units of a line that are not claimed move to its successor line.

Taking changes the gate first: Redis withdraws the units from the offer, PostgreSQL moves them, and Redis offers them in
the successor. Units that people with an open claim window may still reserve stay, and move when those windows end.
"""

from math import ceil

from django.db import transaction

from flashsale.books.events import of_move, record
from flashsale.books.reservations import advance_units, lock_sale
from flashsale.gate import scripts
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.extra_time import kept_claims
from flashsale.models import Move, Unit
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import UnitState


async def roll_over(*, card: SaleCard, line: LineCard, figures: Survey) -> None:
    """Moves the unclaimed units of the line to its successor. Safe to repeat, and in several processes at once.

    1. Redis withdraws the units and lists them as moving. If the process dies after this, the next tick gets the same
       units.
    2. PostgreSQL moves them. If the process dies after this, the next tick finds them moved.
    3. Redis offers them in the successor, then removes them from the list of moving units.
    """
    target = card.line_by_id(line.successor)
    if target is None:
        return
    keep = ceil(kept_claims(card, figures) * figures.expected)
    withdrawn = await scripts.withdraw(card, line, keep=keep, called=figures.called)
    if isinstance(withdrawn, Outcome) or not withdrawn:
        return
    free = await run_in_db_thread(move_units, card, line.id, target.id, withdrawn)
    if free is None:
        return
    await scripts.give_back(card, target, units=free)
    await scripts.units_arrived(card, line, units=list(withdrawn))


@transaction.atomic
def move_units(card: SaleCard, origin: int, target: int, units: dict[int, int]) -> list[tuple[int, int, str]] | None:
    """Moves units (id → version) that are still free in `origin`.

    Returns those free in `target` now: (id, version, SKU).

    Returns None when the epoch has changed: a rebuild has loaded Redis since, and Redis offers the units in `origin`
    again.
    """
    # A lock in share mode. It excludes a rebuild, which must not read the units while they move.
    epoch, _ = lock_sale(card.sale)
    if epoch != card.epoch:
        return None
    here = Unit.objects.select_for_update().filter(pk__in=units, allocation=origin, state=UnitState.FREE).order_by("pk")
    moving = [unit for unit in here if unit.version == units[unit.pk]]
    advance_units([(unit.pk, unit.version) for unit in moving], was=UnitState.FREE, becomes=UnitState.FREE)
    ids = [unit.pk for unit in moving]
    Unit.objects.filter(pk__in=ids).update(allocation=target)
    Move.objects.bulk_create(Move(unit_id=id_, origin_id=origin, target_id=target) for id_ in ids)
    code = card.line_of_allocation(origin).code
    record([of_move(unit, sale=card.sale, origin=code, target=target) for unit in moving], wall_clock.now())
    arrived = Unit.objects.filter(pk__in=units, allocation=target, state=UnitState.FREE)
    return list(arrived.values_list("id", "version", "sku"))
