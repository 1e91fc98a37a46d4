"""Crowd backup: a recent copy in PostgreSQL of the crowd data that only Redis has.

How this works
--------------
Entering, leaving and calling change Redis alone, because a crowd of a million must not write to PostgreSQL. If Redis
loses its memory, this copy and the place tokens bring the crowd back. Each process copies in its ticks, when something
has changed:

    what                                            how often                       where in PostgreSQL
    counts: entered, called, lapsed                 once a second                   Allocation
    the sale's mark (gate/lua/prelude.lua)          once a second                   Clock
    bitmaps: who is out of the line, who was seen   as 32 KiB a second allow        CrowdBackup
    (1 bit for each index); how many new places
    each channel with a maximum has taken

* Counts never shrink: of two processes, the greater count stays, whichever writes last.
* A copy is written only while the sale's epoch is still the one that was read. A rebuild raises the epoch, so a slow
  process cannot write what an older Redis knew over what the new one knows.
* After a loss, the rebuild loads the counts and the bitmaps (snapshot.py, gate/load.py). No number is called a second
  time, and a person who left stays out. Events of the last moment before the loss are missing: an index beyond
  `entered` counts as out until its owner shows the token.
"""

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
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import Allocation, Clock, CrowdBackup
from flashsale.rules.outcomes import Outcome

BACKUP_S = 1.0
# The bitmaps of a million places are a quarter of a megabyte. Written at each change, they would be gigabytes an hour.
CROWD_BYTES_PER_S = 32 * 1024


@dataclass(frozen=True, slots=True)
class _Written:
    """The last backup of a line by this process. `at` and `crowd_at` are times of its monotonic clock."""

    at: float = -inf
    counts: Mapping[str, int] = field(default_factory=dict)
    crowd_at: float = -inf
    crowd: Crowd = field(default_factory=Crowd)


# By commitment and line id.
WRITTEN: GateCache[tuple[str, int], _Written] = GateCache()


async def back_up_crowd(*, card: SaleCard, line: LineCard, figures: Survey) -> bool:
    """Copies what has changed: counts once a second, bitmaps as often as `CROWD_BYTES_PER_S` allows.

    Returns whether there may be more to copy in a second. A crowd that rests needs no further look.
    """
    written = WRITTEN.entries()
    last = written.get((card.commitment, line.line_id), _Written())
    now = time.monotonic()
    if now - last.at <= BACKUP_S:
        return True
    counts = {"entered": figures.entered, "called": figures.called, "lapsed": figures.lapsed}
    crowd, crowd_at = last.crowd, last.crowd_at
    is_read = (now - crowd_at) * CROWD_BYTES_PER_S > len(crowd.out) + len(crowd.seen)
    if is_read:
        answer = await sale_cards.crowd(card, line)
        if isinstance(answer, Outcome):
            return True
        crowd, crowd_at = answer, now
    changed = crowd != last.crowd or counts != last.counts
    if changed:
        await run_in_db_thread(
            write_crowd_backup, card, line.id, counts, crowd if crowd != last.crowd else None, mark=figures.mark
        )
    written[card.commitment, line.line_id] = _Written(now, counts, crowd_at, crowd)
    return changed or not is_read


@transaction.atomic
def write_crowd_backup(
    card: SaleCard, allocation: int, counts: Mapping[str, int], crowd: Crowd | None, *, mark: int
) -> None:
    """Writes the counts of a line and the sale's mark, which never shrink, and the line's bitmaps (None: unchanged).

    Does nothing when the epoch has changed, because a rebuild has loaded Redis since and Redis knows better now.
    """
    if lock_sale(card.sale)[0] == card.epoch:
        most: dict[str, Any] = {name: Greatest(name, count) for name, count in counts.items()}
        Allocation.objects.filter(pk=allocation).update(**most)
        keep_mark(card.sale, mark)
        if crowd:
            store_crowd(allocation, crowd)


def keep_mark(sale: int, mark: int) -> None:
    """Notes that Redis has shown this mark of the sale. While its clock runs, clock_lease.py does it, too."""
    if not Clock.objects.filter(sale=sale).update(mark=Greatest("mark", mark)):
        # Before the opening. The clock has not started.
        Clock.objects.get_or_create(sale_id=sale, defaults={"runs_from_ms": 0, "runs_until_ms": 0, "mark": mark})


def store_crowd(allocation: int, crowd: Crowd) -> None:
    """Writes the copy of a line's crowd. The caller's transaction must have locked the sale's row."""
    copy = {"out": crowd.out, "seen": crowd.seen, "entered": dict(crowd.entered)}
    CrowdBackup.objects.update_or_create(allocation_id=allocation, defaults=copy)
