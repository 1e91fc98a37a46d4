"""Draw: at the opening, freezes the cohorts of a sale and writes them to PostgreSQL. From then on places have numbers.

How this works
--------------
The number of a place follows from its index, the cohort of its line and the sale's secret (rules/lottery.py). The
cohort is the number of indexes given before the opening. Two different cohorts would give two different orders, so a
line must keep one cohort, whichever process draws it and whenever a process dies.

    1. Redis freezes        all lines at one instant; each later call gets the same cohorts
    2. PostgreSQL writes    cohort and seed of each line, and who is out of the line; the first writer wins
    3. Redis is prepared    numbers of left and voided places are marked spent, so that calling skips them;
                            places with extra time get their numbers
    4. Redis gets the seed  from here on places have numbers; a line that has a seed keeps it

* A process dies between two steps: the line has no seed in Redis yet, so the next tick begins again at 1. Steps 1 and 2
  give it the same cohorts, and steps 3 and 4 write the same values again.
* Two processes draw at once: step 2 gives both the cohorts of the first writer. Step 3 marks nothing once the line has
  its seed.
* Redis loses its memory after step 2: the rebuild loads cohort and seed from PostgreSQL. PostgreSQL also knows who was
  out, because step 2 wrote it in the same transaction.
* Redis loses its memory before step 2: no number has been shown yet. Redis freezes again after the rebuild.
"""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from flashsale.books.events import NewEvent, record
from flashsale.books.reservations import lock_sale
from flashsale.gate import sale_cards, scripts
from flashsale.gate.client import wall_ms
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.crowd_backup import store_crowd
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import Record, Sale
from flashsale.models.sale import moment
from flashsale.rules import lottery
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Outcome

NUMBERS_PER_CALL = 1000


async def draw(*, card: SaleCard) -> bool:
    """Freezes and draws all lines of a sale. Returns whether they are drawn now.

    Safe at any moment, safe to repeat, and safe in several processes at once (see the head of this file).
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
    drawn = await run_in_db_thread(
        write_cohorts, card.sale, cohorts, crowds, moment(await wall_ms(scripts.keys_of(card).state))
    )
    if not drawn:
        return False
    for line in card.lines:
        cohort, seed = drawn[line.line_id]
        await _void_absent(card, line, cohort, seed)
        extra_time = await sale_cards.extra_time_places(card, line)
        for start in range(0, len(extra_time), NUMBERS_PER_CALL):
            chunk = extra_time[start : start + NUMBERS_PER_CALL]
            numbers = {index: lottery.number(index, cohort, bytes.fromhex(seed)) for index in chunk}
            await scripts.number_extra_time(card, line, numbers=numbers)
        await scripts.seed(card, line, cohort=cohort, seed=seed)
    return True


def write_cohorts(
    sale: int, cohorts: Mapping[int, int], crowds: Mapping[int, Crowd], now: datetime
) -> dict[int, tuple[int, str]]:
    """Writes the cohorts and who is out of each line, unless they are written already. Takes cohorts by line id.

    Returns cohort and seed (hex) by line id, as the first writer wrote them. Returns {} before the opening. Raises
    SecretUnreadable when this server's key cannot decrypt the secret; nothing is drawn then.
    """
    with transaction.atomic():
        lock_sale(sale, exclusive=True)
        row = Sale.objects.get(pk=sale)
        if row.frozen_at is None and now < row.opens_at:
            # The opening has been moved, and Redis still has the old one. It gets the new one in a moment.
            return {}
        secret = row.draw_secret()
        for line in row.allocations.filter(cohort=None):
            # A line that carries an order over keeps the old numbers, so it draws nothing.
            line.cohort = 0 if line.carries_id else cohorts[line.line_id]
            line.seed = lottery.seed(secret, line.code, line.cohort).hex()
            line.save(update_fields=["cohort", "seed"])
            store_crowd(line.pk, crowds[line.line_id])
        if row.frozen_at is None:
            row.frozen_at = now
            row.publish_secret()
            row.save(update_fields=["frozen_at", "secret", "sealed_secret"])
            record([NewEvent(EventType.SALE_OPENED, row.pk)], now)
            drawn = {line.code: [line.cohort, line.seed] for line in row.allocations.all()}
            Record.write("draw", by="clock", sale=row, facts=drawn)
        return {line.line_id: (line.cohort or 0, line.seed) for line in row.allocations.all()}


async def _void_absent(card: SaleCard, line: LineCard, cohort: int, seed: str) -> None:
    """Marks as spent the numbers of places that were left or voided before the draw, so that calling skips them."""
    crowd = await sale_cards.crowd(card, line)
    if isinstance(crowd, Outcome):
        return
    absent = crowd.absent()
    for start in range(0, len(absent), NUMBERS_PER_CALL):
        # Computed a thousand at a time, so that the event loop serves other requests in between.
        numbers = [lottery.number(x, cohort, bytes.fromhex(seed)) for x in absent[start : start + NUMBERS_PER_CALL]]
        await scripts.void(card, line, seed="", numbers=numbers)
