"""Leave: a person gives up a place.

Entering again brings it back before the draw, and gives a place at the end after.
"""

from flashsale.gate import scripts
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Place


async def leave(*, card: SaleCard, line: LineCard, place: Place) -> None:
    """Gives the place up. Safe to repeat. Refuses NOT_READY and PLACE_SPENT."""
    number, seed = await places.number_of(card, line, place.index)
    answer = await scripts.leave(card, line, index=place.index, number=number, seed=seed)
    if answer is not Outcome.LEFT:
        raise Refused(answer)
