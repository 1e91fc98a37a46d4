"""Extra time: a person who needs longer asks for it before being called, and gets twice the claim window.

Every person may ask, and needs no reason. So many people may have extra time, and many of them may not come. What that
costs other people is bounded (ADR 18): in the second window of a claim, a unit is kept for it only as far as the sale's
share allows. The line calls other people for all other units, and these units are theirs: a claim in its second window
never takes a unit that a claim in its first window needs.
"""

from flashsale.gate import scripts
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules import calling
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


def kept_claims(card: SaleCard, figures: Survey) -> int:
    """For how many open claims of a line units are kept: all in their first window, and a share in their second."""
    return calling.kept_claims(
        free=sum(figures.free.values()), open_claims=figures.open_claims, second_claims=figures.second_claims,
        expected=figures.expected, overbooking=card.overbooking, share_percent=card.extra_time_share,
    )  # fmt: skip
