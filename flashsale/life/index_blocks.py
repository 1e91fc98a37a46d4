"""Index blocks: PostgreSQL commits indexes ahead, so that a gate without memory never gives one twice."""

from functools import partial

from flashsale.gate import scripts
from flashsale.gate.client import GateCache
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.db_threads import in_books
from flashsale.life.single_flight import SingleFlight
from flashsale.models import Allocation
from flashsale.rules.outcomes import Outcome

# Indexes are promised to the gate in blocks, so that a gate without memory never gives one twice.
BLOCK_MAX = 10_000
# A small line gets small blocks: after a loss of the gate its indexes go on not far behind.
BLOCK_MIN = 50

# By the line's id in the books.
MAKING_ROOM: GateCache[int, SingleFlight] = GateCache()


async def extend(*, card: SaleCard, line: LineCard, figures: Survey) -> None:
    """Commits the next block of indexes when half of the last one is given; a carried line gives none."""
    ahead = min(BLOCK_MAX, max(BLOCK_MIN, figures.entered // 2))
    most = card.most_indexes(line)
    if figures.block - figures.entered < ahead // 2 and figures.block < most and not line.carries:
        block = await in_books(write_block, line.id, min(most, figures.entered + ahead))
        await scripts.extend_block(card, line, block=block)


async def make_room(*, card: SaleCard, line: LineCard) -> None:
    """Commits the next block at once, for a crowd faster than the tending; one caller a line does it for all.

    Raises TimeoutError when the books hang: the block may yet be written, and the tending tells it to the gate.
    """
    making = MAKING_ROOM.entries().setdefault(line.id, SingleFlight())
    await making.run(partial(_make_room, card, line))


async def _make_room(card: SaleCard, line: LineCard) -> None:
    figures = await scripts.survey(card, line)
    if not isinstance(figures, Outcome):
        await extend(card=card, line=line, figures=figures)


def write_block(allocation: int, block: int) -> int:
    """The last index that may be given, which never shrinks."""
    Allocation.objects.filter(pk=allocation, block__lt=block).update(block=block)
    return Allocation.objects.values_list("block", flat=True).get(pk=allocation)
