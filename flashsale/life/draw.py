"""Draw: a sale's cohorts are frozen at its opening and written in the books once; only then are there numbers."""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from flashsale.books.reservations import lock_sale
from flashsale.gate import sale_cards, scripts
from flashsale.gate.client import wall_ms
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.crowd_backup import _keep
from flashsale.life.db_threads import in_books
from flashsale.models import Record, Sale
from flashsale.models.sale import moment
from flashsale.rules import lottery
from flashsale.rules.outcomes import Outcome

MARKS_MAX = 1000


async def draw(*, card: SaleCard) -> bool:
    """Freezes and draws all lines of a sale; safe at any moment, by any number of processes. Whether it is drawn now.

    1. The gate fixes all cohorts at one instant; later calls get the same.
    2. The books write them and who is out by then, unless they have been written: the books' word counts.
    3. Numbers of places left or voided before the draw are taken out of the calling; those of places with extra time
       are noted.
    4. The gate hears cohort and seed: from here on there are numbers. Dying in between, the next one goes on at 1.
    """
    cohorts = await scripts.freeze(card)
    if isinstance(cohorts, Outcome):
        return False
    crowds = {}
    for line in card.lines:
        crowd = await sale_cards.crowd(card, line)
        if isinstance(crowd, Outcome):
            return False
        crowds[line.line_id] = crowd
    drawn = await in_books(write_cohorts, card.sale, cohorts, crowds, moment(await wall_ms()))
    if not drawn:
        return False
    for line in card.lines:
        cohort, seed = drawn[line.line_id]
        await _mark_absent(card, line, cohort, seed)
        waiting = await sale_cards.extra_time_places(card, line)
        for start in range(0, len(waiting), MARKS_MAX):
            some = waiting[start : start + MARKS_MAX]
            numbers = {index: lottery.number(index, cohort, bytes.fromhex(seed)) for index in some}
            await scripts.number_extra_time(card, line, numbers=numbers)
        await scripts.seed(card, line, cohort=cohort, seed=seed)
    return True


def write_cohorts(
    sale: int, cohorts: Mapping[int, int], crowds: Mapping[int, Crowd], now: datetime
) -> dict[int, tuple[int, str]]:
    """Cohort and seed (hex) by line number: the first writer's, for ever; with who was out of each line by then."""
    with transaction.atomic():
        lock_sale(sale, exclusive=True)
        row = Sale.objects.get(pk=sale)
        if row.frozen_at is None and now < row.opens_at:
            # The opening was moved while the gate still knew the old one; it will hear of it in a moment.
            return {}
        for line in row.allocations.filter(cohort=None):
            # Who carries an old order over keeps the old numbers: there is nothing to draw.
            line.cohort = 0 if line.carries_id else cohorts[line.line_id]
            line.seed = lottery.seed(bytes(row.secret or b""), line.code, line.cohort).hex()
            line.save(update_fields=["cohort", "seed"])
            _keep(line.pk, crowds[line.line_id])
        if row.frozen_at is None:
            row.frozen_at = now
            row.save(update_fields=["frozen_at"])
            drawn = {line.code: [line.cohort, line.seed] for line in row.allocations.all()}
            Record.write("draw", by="clock", sale=row, facts=drawn)
        return {line.line_id: (line.cohort or 0, line.seed) for line in row.allocations.all()}


async def _mark_absent(card: SaleCard, line: LineCard, cohort: int, seed: str) -> None:
    crowd = await sale_cards.crowd(card, line)
    if isinstance(crowd, Outcome):
        return
    absent = crowd.absent()
    for start in range(0, len(absent), MARKS_MAX):
        # Worked out a thousand at a time: whoever else is at this door is served in between.
        numbers = [lottery.number(x, cohort, bytes.fromhex(seed)) for x in absent[start : start + MARKS_MAX]]
        await scripts.void(card, line, seed="", numbers=numbers)
