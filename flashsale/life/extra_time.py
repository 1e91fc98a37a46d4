"""Wait: a place gets twice the time to claim, for whoever needs it, asked for before it is called."""

from flashsale.gate import scripts
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Place


async def wait(*, card: SaleCard, line: LineCard, place: Place) -> None:
    """Grants the time, as long as the sale has any; safe to repeat.

    Refuses NOT_READY, PLACE_VOIDED, PLACE_LEFT, ALREADY_CALLED and NO_MORE_TIME.
    """
    number, seed = await places.number_of(card, line, place.index)
    answer = await scripts.extra_time(card, line, index=place.index, number=number, seed=seed, most=card.extra_time_max)
    if answer is not Outcome.GRANTED:
        raise Refused(answer)
