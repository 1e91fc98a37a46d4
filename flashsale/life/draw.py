"""Draw: a sale's cohorts are frozen at its opening and written in the books once; only then are there numbers."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from math import inf
from typing import Any

from django.db import transaction
from django.db.models.functions import Greatest

from flashsale.books.reservations import lock_sale
from flashsale.gate import sale_cards, scripts
from flashsale.gate.client import gate, wall_ms
from flashsale.gate.messages import Crowd, Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.books import Errand, in_books
from flashsale.models import Allocation, Record, Remembered, Sale
from flashsale.models.sale import moment
from flashsale.rules import lottery
from flashsale.rules.outcomes import Outcome

# Indexes are promised to the gate in blocks, so that a gate without memory never gives one twice.
BLOCK_MAX = 10_000
# A small line gets small blocks: after a loss of the gate its indexes go on not far behind.
BLOCK_MIN = 50
MARKS_MAX = 1000
REMEMBER_S = 1.0
# A million places weigh a quarter of a megabyte: written whenever somebody has left, that would be gigabytes an hour.
CROWD_BYTES_PER_S = 32 * 1024


@dataclass(frozen=True, slots=True)
class _Written:
    """What this process wrote down last of a line, and when; times on its monotonic clock."""

    at: float = -inf
    counts: Mapping[str, int] = field(default_factory=dict)
    crowd_at: float = -inf
    crowd: Crowd = field(default_factory=Crowd)


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
        crowds[line.number] = crowd
    drawn = await in_books(write_cohorts, card.sale, cohorts, crowds, moment(await wall_ms()))
    if not drawn:
        return False
    for line in card.lines:
        cohort, seed = drawn[line.number]
        await _mark_absent(card, line, cohort, seed)
        waiting = await sale_cards.patient_places(card, line)
        for start in range(0, len(waiting), MARKS_MAX):
            some = waiting[start : start + MARKS_MAX]
            numbers = {index: lottery.number(index, cohort, bytes.fromhex(seed)) for index in some}
            await scripts.number(card, line, numbers=numbers)
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
            line.cohort = 0 if line.carries_id else cohorts[line.number]
            line.seed = lottery.seed(bytes(row.secret or b""), line.code, line.cohort).hex()
            line.save(update_fields=["cohort", "seed"])
            _keep(line.pk, crowds[line.number])
        if row.frozen_at is None:
            row.frozen_at = now
            row.save(update_fields=["frozen_at"])
            drawn = {line.code: [line.cohort, line.seed] for line in row.allocations.all()}
            Record.write("draw", by="clock", sale=row, facts=drawn)
        return {line.number: (line.cohort or 0, line.seed) for line in row.allocations.all()}


async def _mark_absent(card: SaleCard, line: LineCard, cohort: int, seed: str) -> None:
    crowd = await sale_cards.crowd(card, line)
    if isinstance(crowd, Outcome):
        return
    absent = crowd.absent()
    for start in range(0, len(absent), MARKS_MAX):
        # Worked out a thousand at a time: whoever else is at this door is served in between.
        numbers = [lottery.number(x, cohort, bytes.fromhex(seed)) for x in absent[start : start + MARKS_MAX]]
        await scripts.void(card, line, seed="", numbers=numbers)


async def extend(*, card: SaleCard, line: LineCard, figures: Survey) -> None:
    """Commits the next block of indexes when half of the last one is given; a carried line gives none."""
    ahead = min(BLOCK_MAX, max(BLOCK_MIN, figures.entered // 2))
    most = card.most_indexes(line)
    if figures.block - figures.entered < ahead // 2 and figures.block < most and not line.carries:
        block = await in_books(write_block, line.id, min(most, figures.entered + ahead))
        await scripts.extend(card, line, block=block)


async def remember(*, card: SaleCard, line: LineCard, figures: Survey) -> None:
    """Writes down what else only the gate knows of a line's crowd, where it has changed: its counts once a second and
    process, who is out of it as often as its bitmaps may weigh."""
    written: dict[tuple[str, int], _Written] = gate().kept["crowds"]
    last = written.get((card.commitment, line.number), _Written())
    now = time.monotonic()
    if now - last.at <= REMEMBER_S:
        return
    counts = {"entered": figures.entered, "called": figures.called, "lapsed": figures.lapsed}
    crowd, crowd_at = last.crowd, last.crowd_at
    if (now - crowd_at) * CROWD_BYTES_PER_S > len(crowd.out) + len(crowd.seen):
        found = await sale_cards.crowd(card, line)
        if isinstance(found, Outcome):
            return
        crowd, crowd_at = found, now
    if crowd != last.crowd or counts != last.counts:
        await in_books(write_crowd, card, line.id, counts, crowd if crowd != last.crowd else None)
    written[card.commitment, line.number] = _Written(now, counts, crowd_at, crowd)


@transaction.atomic
def write_crowd(card: SaleCard, allocation: int, counts: Mapping[str, int], crowd: Crowd | None) -> None:
    """How many have entered, were called and have lapsed, which never shrinks, and who is out (None: as known).

    Nothing that a gate said which is no more: the one filled since knows better.
    """
    if lock_sale(card.sale)[0] == card.epoch:
        most: dict[str, Any] = {name: Greatest(name, count) for name, count in counts.items()}
        Allocation.objects.filter(pk=allocation).update(**most)
        if crowd:
            _keep(allocation, crowd)


def _keep(allocation: int, crowd: Crowd) -> None:
    Remembered.objects.update_or_create(allocation_id=allocation, defaults={"out": crowd.out, "seen": crowd.seen})


async def make_room(*, card: SaleCard, line: LineCard) -> None:
    """Commits the next block at once, for a crowd faster than the tending; one caller a line does it for all.

    Raises TimeoutError when the books hang: the block may yet be written, and the tending tells it to the gate.
    """
    making: Errand = gate().kept["making room"].setdefault(line.id, Errand())
    await making.run(partial(_make_room, card, line))


async def _make_room(card: SaleCard, line: LineCard) -> None:
    figures = await scripts.survey(card, line)
    if not isinstance(figures, Outcome):
        await extend(card=card, line=line, figures=figures)


def write_block(allocation: int, block: int) -> int:
    """The last index that may be given, which never shrinks."""
    Allocation.objects.filter(pk=allocation, block__lt=block).update(block=block)
    return Allocation.objects.values_list("block", flat=True).get(pk=allocation)
