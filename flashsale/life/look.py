"""Look: the state of one place, for its owner."""

from dataclasses import dataclass

from flashsale.gate import sale_cards, scripts
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PlaceState
from flashsale.rules.tokens import Place


@dataclass(frozen=True, slots=True)
class PlaceView:
    """The state of a place. `number` and `cohort` are None until the draw.

    `now` and `claim_ends` are ms on the line's clock. `claim_ends` is None while the place is not called. `called` is
    the last number that the line has called.
    """

    index: int
    number: int | None
    state: PlaceState
    now: int
    claim_ends: int | None
    called: int
    cohort: int | None


async def look(*, card: SaleCard, line: LineCard, place: Place) -> PlaceView:
    """Reads the state of the place. A place that Redis has lost is stored again, because its token proves it.

    Refuses NOT_READY.
    """
    number, seed = await places.number_of(card, line, place.index)
    answer = await scripts.look(
        card,
        line,
        index=place.index,
        number=number,
        seed=seed,
        digests=places.digests_of(place),
        by_code=place.by_code,
    )
    if isinstance(answer, Outcome):
        raise Refused(answer)
    cohort = (await sale_cards.draw_of(card, line))[0] if number else None
    return PlaceView(
        index=place.index,
        number=number or None,
        state=answer.state,
        now=answer.now,
        claim_ends=answer.claim_ends or None,
        called=answer.called,
        cohort=cohort,
    )
