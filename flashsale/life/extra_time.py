"""Extra time: a person who needs longer asks for it before being called, and gets twice the claim window."""

from flashsale.gate import scripts
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Place


async def extra_time(*, card: SaleCard, line: LineCard, place: Place) -> None:
    """Doubles the claim window of a place. Safe to repeat. Each line grants it to `extra_time_max` places at most.

    Refuses NOT_READY, PLACE_VOIDED, PLACE_LEFT, ALREADY_CALLED and NO_MORE_TIME.
    """
    number, seed = await places.number_of(card, line, place.index)
    answer = await scripts.extra_time(card, line, index=place.index, number=number, seed=seed, most=card.extra_time_max)
    if answer is not Outcome.GRANTED:
        raise Refused(answer)
