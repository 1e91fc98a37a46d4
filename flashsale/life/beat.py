"""Beat: gate and books have answered together, so the line's clock may run on for a moment.

Nobody can reserve while either is away or nobody looks after the sale. Then no beat comes, and the clock stops by
itself, in both: claim windows and holds cost nobody their place. The first beat after it lets the clock go on from
where it stopped (DESIGN 7).
"""

from django.db import transaction
from django.db.models.functions import Greatest

from flashsale.gate import scripts
from flashsale.gate.card import SaleCard
from flashsale.gate.messages import Survey
from flashsale.life import control
from flashsale.life.books import in_books
from flashsale.models import Clock, Sale
from flashsale.models.writer import lock_sale
from flashsale.rules.outcomes import Outcome
from flashsale.rules.pace import BEAT_MS, LEASE_MS
from flashsale.rules.states import SaleState


async def beat(*, card: SaleCard, figures: Survey) -> None:
    """Lets the clock run for a few seconds more, once a second; before the opening and in a pause there is no need.

    If we die between books and gate, the gate's clock stops, and the next beat tells it.
    """
    if figures.wall < card.opens_at or figures.state == SaleState.PAUSED:
        return
    if figures.runs_until - figures.wall > LEASE_MS - BEAT_MS:
        return
    revision, until = await in_books(_beat, card.sale, figures.wall)
    answer = await scripts.beat(card, revision=revision, until=until)
    if answer is Outcome.NOT_READY:
        await control.tell_again(card=card)


def _beat(sale: int, wall_ms: int) -> tuple[int, int]:
    """Revision of the sale in the books, and until when its clock may run there."""
    clock = Clock.objects.filter(sale=sale, runs_until_ms__gte=wall_ms)
    if not clock.update(runs_until_ms=Greatest("runs_until_ms", wall_ms + LEASE_MS)):
        _start(sale, wall_ms)
    row = Sale.objects.select_related("clock").get(pk=sale)
    return row.revision, row.runs_until


@transaction.atomic
def _start(sale: int, wall_ms: int) -> None:
    """The clock of an open sale has never run, or has stopped."""
    lock_sale(sale, exclusive=True)
    row = Sale.objects.get(pk=sale)
    if row.state != SaleState.PAUSED and row.runs_until < wall_ms:
        row.run_on(wall_ms, until_ms=wall_ms + LEASE_MS)
        row.revision += 1
        row.save(update_fields=["paused_ms", "revision"])
