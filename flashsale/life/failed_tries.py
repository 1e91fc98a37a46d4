"""Failed tries: people who tried to reserve in time and got no answer keep their turn until they try again.

A web process that cannot reach Redis answers 503, and the claim window goes on if other processes reach it. So the
process remembers the place, and tells Redis as soon as it can. If the claim window was open at the time of the try, the
place gets twice the window, like a place with extra time. A person cannot extend a turn by this at will: only a failed
call of Redis is remembered, a place gets it once, and a place that has reserved gets nothing.

The memory is that of one process. If the process dies or does not answer, nginx sends the request to another one
(config/nginx.conf). It says when the person tried (HotRequest.waited_s), and that process remembers it.
"""

import time
from dataclasses import dataclass

from flashsale.gate import scripts
from flashsale.gate.client import GateCache
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.outcomes import Outcome
from flashsale.rules.tokens import Place

TRIES_MAX = 10_000
# A person who has not come back by then does not come back for this turn.
KEPT_S = 600.0
# nginx passes on a request in less time than this, unless a door kept it waiting.
WAITED_S_LEAST = 0.5


@dataclass(frozen=True, slots=True)
class FailedTry:
    """A place in a line, and when its owner tried first (monotonic clock)."""

    card: SaleCard
    line: LineCard
    index: int
    tried_at: float


# By commitment of the sale, line id and index.
FAILED: GateCache[tuple[str, int, int], FailedTry] = GateCache()


def remember(card: SaleCard, line: LineCard, place: Place, *, waited_s: float = 0.0) -> None:
    """Notes that the owner of this place tried to reserve `waited_s` ago, and got no answer. The first try counts."""
    tries = FAILED.entries()
    if place.index and len(tries) < TRIES_MAX:
        key = card.commitment, line.line_id, place.index
        tries.setdefault(key, FailedTry(card, line, place.index, time.monotonic() - waited_s))


async def report() -> None:
    """Tells Redis about all failed tries of this process. Raises GateDown; the rest is told by the next call."""
    for failed in list(FAILED.entries().values()):
        await _report(failed)


async def keeps_turn(card: SaleCard, line: LineCard, place: Place) -> bool:
    """Whether the owner of this place has tried in time, and has the turn again now. Raises GateDown."""
    failed = FAILED.entries().get((card.commitment, line.line_id, place.index))
    return failed is not None and await _report(failed) is Outcome.GRANTED


async def _report(failed: FailedTry) -> Outcome:
    card, line, index = failed.card, failed.line, failed.index
    number, seed = await places.number_of(card, line, index)
    ago_s = time.monotonic() - failed.tried_at
    answer = Outcome.NOT_READY
    if seed:
        answer = await scripts.tried_in_time(
            card, line, index=index, number=number, seed=seed, ago_ms=int(ago_s * 1000)
        )
    if answer is not Outcome.NOT_READY or ago_s > KEPT_S:
        FAILED.entries().pop((card.commitment, line.line_id, index), None)
    return answer
