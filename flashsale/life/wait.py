"""Wait: a place gets twice the time to claim, for whoever needs it, asked for before it is called."""

from flashsale.gate import scripts
from flashsale.gate.card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Place

# Each place on the list may keep a unit from the next one for longer, so the list is short.
PATIENT_MAX = 200


async def wait(*, card: SaleCard, line: LineCard, place: Place) -> None:
    """Grants the time; safe to repeat. Refuses NOT_READY, ALREADY_CALLED, NO_MORE_TIME."""
    number, seed = await places.number_of(card, line, place.index)
    answer = await scripts.wait(card, line, index=place.index, number=number, seed=seed, most=PATIENT_MAX)
    if answer is not Outcome.GRANTED:
        raise Refused(answer)
