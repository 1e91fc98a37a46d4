"""Crowd backup: PostgreSQL keeps a recent copy of what only the gate knows of a line's people."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from django.db import transaction
from django.db.models.functions import Greatest

from flashsale.books.reservations import lock_sale
from flashsale.gate import sale_cards
from flashsale.gate.client import GateCache
from flashsale.gate.messages import Crowd, Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.db_threads import in_books
from flashsale.models import Allocation, CrowdBackup
from flashsale.rules.outcomes import Outcome

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


# By commitment and line id.
WRITTEN: GateCache[tuple[str, int], _Written] = GateCache()


async def remember(*, card: SaleCard, line: LineCard, figures: Survey) -> None:
    """Writes down what else only the gate knows of a line's crowd, where it has changed: its counts once a second and
    process, who is out of it as often as its bitmaps may weigh."""
    written = WRITTEN.entries()
    last = written.get((card.commitment, line.line_id), _Written())
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
    written[card.commitment, line.line_id] = _Written(now, counts, crowd_at, crowd)


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
    CrowdBackup.objects.update_or_create(allocation_id=allocation, defaults={"out": crowd.out, "seen": crowd.seen})
