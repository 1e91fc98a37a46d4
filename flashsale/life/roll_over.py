"""Roll over: what nobody has claimed in time goes to the successor line, once, by whoever notices.

Taking is gate first, then books: units are withdrawn from the offer, the books move them, the successor offers them.
Units that open claims may still want stay, and follow as those claims end.
"""

from django.db import transaction

from flashsale.books.reservations import advance_units, lock_sale
from flashsale.gate import scripts
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.db_threads import in_books
from flashsale.models import Move, Unit
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import UnitState


async def roll_over(*, card: SaleCard, line: LineCard, figures: Survey) -> None:
    """Moves the line's unclaimed units on; safe to repeat and to run beside itself.

    1. The gate withdraws. If we die after this, the next call gets the same units again.
    2. The books move them. If we die after this, the next call finds them moved.
    3. The successor offers them, then they are no longer on their way.
    """
    target = card.line_by_id(line.successor)
    if target is None:
        return
    keep = figures.open_claims * card.weight
    withdrawn = await scripts.withdraw(card, line, keep=keep, called=figures.called)
    if isinstance(withdrawn, Outcome) or not withdrawn:
        return
    free = await in_books(move_on, card, line.id, target.id, withdrawn)
    if free is None:
        return
    await scripts.give_back(card, target, units=free)
    await scripts.units_arrived(card, line, units=list(withdrawn))


@transaction.atomic
def move_on(card: SaleCard, origin: int, target: int, units: dict[int, int]) -> list[tuple[int, int, str]] | None:
    """Moves units (id → version) still free in `origin`; those free in `target` now, as (id, version, SKU).

    None when the gate that withdrew them is no more: the one filled since offers them in `origin` again.
    """
    # Shared with everybody but a rebuild, which must not read where the units are while they move.
    epoch, _ = lock_sale(card.sale)
    if epoch != card.epoch:
        return None
    here = Unit.objects.select_for_update().filter(pk__in=units, allocation=origin, state=UnitState.FREE).order_by("pk")
    moving = [unit for unit in here if unit.version == units[unit.pk]]
    advance_units([(unit.pk, unit.version) for unit in moving], was=UnitState.FREE, becomes=UnitState.FREE)
    ids = [unit.pk for unit in moving]
    Unit.objects.filter(pk__in=ids).update(allocation=target)
    Move.objects.bulk_create(Move(unit_id=id_, origin_id=origin, target_id=target) for id_ in ids)
    arrived = Unit.objects.filter(pk__in=units, allocation=target, state=UnitState.FREE)
    return list(arrived.values_list("id", "version", "sku"))
