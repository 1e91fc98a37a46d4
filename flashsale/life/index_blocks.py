"""Index blocks: PostgreSQL commits indexes ahead of their use, so that a Redis without memory never gives one twice.

After a loss, a rebuild lets Redis go on behind the last committed block (`Allocation.block`), however many of the
block's indexes it had given. A process that still uses a Redis that was replaced commits no block: two servers would
give the same indexes.
"""

from functools import partial

from django.db import transaction

from flashsale.books.reservations import lock_sale
from flashsale.gate import scripts
from flashsale.gate.client import GateCache
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.single_flight import SingleFlight
from flashsale.models import Allocation
from flashsale.rules.outcomes import Outcome

# Large blocks, because a crowd enters at once and PostgreSQL must see one write for thousands of entries.
BLOCK_MAX = 10_000
# A small line gets small blocks, so that after a loss of Redis its indexes go on not far behind those given.
BLOCK_MIN = 50

# By the line's id in the books.
EXTENSIONS: GateCache[int, SingleFlight] = GateCache()


async def extend_block(*, card: SaleCard, line: LineCard, figures: Survey) -> None:
    """Commits the next block when half of the last one is given.

    Does nothing in a carried line, which gives no indexes.
    """
    ahead = min(BLOCK_MAX, max(BLOCK_MIN, figures.entered // 2))
    most = card.most_indexes(line)
    if figures.block - figures.entered < ahead // 2 and figures.block < most and not line.carries:
        block = await run_in_db_thread(write_block, card, line.id, min(most, figures.entered + ahead))
        await scripts.extend_block(card, line, block=block)


async def extend_block_now(*, card: SaleCard, line: LineCard) -> None:
    """Commits the next block now, because the crowd was faster than the ticks. One run for all callers of a line.

    Raises TimeoutError when PostgreSQL hangs. The block may still be committed, and then a tick sends it to Redis.
    """
    running = EXTENSIONS.entries().setdefault(line.id, SingleFlight())
    await running.run(partial(_extend_from_survey, card, line))


async def _extend_from_survey(card: SaleCard, line: LineCard) -> None:
    figures = await scripts.survey(card, line)
    if not isinstance(figures, Outcome):
        await extend_block(card=card, line=line, figures=figures)


@transaction.atomic
def write_block(card: SaleCard, allocation: int, block: int) -> int:
    """Commits that indexes up to `block` may be given. Returns the last index that may be given; it never shrinks.

    Returns 0 when the epoch has changed: another Redis has been filled since, and gives the next indexes.
    """
    if lock_sale(card.sale)[0] != card.epoch:
        return 0
    Allocation.objects.filter(pk=allocation, block__lt=block).update(block=block)
    return Allocation.objects.values_list("block", flat=True).get(pk=allocation)
