"""Look: where a place stands, as its owner sees it."""

from dataclasses import dataclass

from flashsale.gate import sale_cards, scripts
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PlaceState
from flashsale.rules.tokens import Place


@dataclass(frozen=True, slots=True)
class View:
    """A place: `number` is None until the draw; `claim_ends` in ms on the line's clock `now`, None while not called."""

    index: int
    number: int | None
    state: PlaceState
    now: int
    claim_ends: int | None
    called: int
    cohort: int | None


async def look(*, card: SaleCard, line: LineCard, place: Place) -> View:
    """Where the place stands; refuses NOT_READY."""
    number, seed = await places.number_of(card, line, place.index)
    answer = await scripts.look(
        card, line, index=place.index, number=number, seed=seed, digests=places.digests_of(place)
    )
    if isinstance(answer, Outcome):
        raise Refused(answer)
    cohort = (await sale_cards.draw_of(card, line))[0] if number else None
    return View(
        index=place.index, number=number or None, state=answer.state, now=answer.now,
        claim_ends=answer.claim_ends or None, called=answer.called, cohort=cohort,
    )  # fmt: skip
