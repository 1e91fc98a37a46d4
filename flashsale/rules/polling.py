"""Poll by distance: how long a shopper waits between two requests for the status of a line.

A person must hear of a call within a tenth of the claim window. A crowd of any size may cost only a bounded rate
of requests. Both follow from two promises of the server:

* The line never calls more than `pace` numbers a second, and `BURST_MS` of that at once (life/tick.py, call.lua). So a
  person whose number is far from the last one called can sleep until the line could have come near.
* The first people of a line are called when all its people have had the time to read their numbers after the draw.

The promise to hear in time holds for claim windows of at least `CLAIM_MS_MIN`, because caches keep a status for a
second. The page has the same rule in static/flashsale/line.js, and docs/partner.md explains it to partners.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

SOONEST_MS, LATEST_MS = 500, 60_000
# A status document may be this old when it arrives: a quarter of a second in a door, a second in a cache, and the rest
# on its way.
STALE_MS = 1500
# A wave calls as many people as the rate allows in a second, at most.
BURST_MS = 1000
# The draw is over this long after the opening.
DRAW_MS = 500
# The people of a line who are not near cost this many requests in a ms at most, until LATEST_MS is reached.
POLLS_PER_MS = 2
# Right after the opening all people of a line ask for their numbers.
OPENING_POLLS_PER_MS = 10
POLL_CALM_MS, POLL_SOON_MS = 10_000, 2_000
CLAIM_MS_MIN = 20_000
# Part of the numbers belongs to people who have left. A call passes over them, so numbers go faster than people.
_NUMBERS_PER_PERSON_PERCENT, _NUMBERS_MORE_PER_S = 150, 100


@dataclass(frozen=True, slots=True)
class Status:
    """What the rule reads of a status document.

    `pace` is how many numbers the line calls in a second at most, or 0 where it may call any number of them. It is None
    while the operator's brake holds: then all ask every `poll_ms`.
    """

    opens_at: int
    entered: int
    called: int
    claim_ms: int
    poll_ms: int
    pace: int | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The values of a status document."""
        return cls(**{field.name: document[field.name] for field in fields(cls)})


def pace(rate_per_s: int) -> int:
    """How many numbers a line passes in a second at most, where it may call `rate_per_s` people."""
    return rate_per_s * _NUMBERS_PER_PERSON_PERCENT // 100 + _NUMBERS_MORE_PER_S


def reach(*, called: int, pace: int, since_ms: int) -> int:
    """The last number that may be called `since_ms` after the last wave."""
    return called + pace * min(since_ms, BURST_MS) // 1000


def spread_ms(people: int) -> int:
    """Over how long the people of a line ask for their numbers after the draw."""
    return people // OPENING_POLLS_PER_MS


def first_call_delay_ms(*, people: int, claim_ms: int) -> int:
    """How long after the opening the first people are called, so that all can have read their numbers in time."""
    if claim_ms < CLAIM_MS_MIN:
        return spread_ms(people)
    # A person who reads a document from before the draw just before it is too old asks again POLL_SOON_MS later.
    return max(0, DRAW_MS + STALE_MS + POLL_SOON_MS + spread_ms(people) - claim_ms // 10)


def poll_ms(*, people: int, is_soon: bool) -> int:
    """How often a shopper asks who has no number or is not near. `is_soon`: the sale is open or about to open."""
    return min(LATEST_MS, max(POLL_SOON_MS if is_soon else POLL_CALM_MS, people // POLLS_PER_MS))


def next_poll_ms(status: Status, *, now: int, number: int | None, waiting: bool, random: float) -> int:
    """In how many ms a shopper asks again.

    `now` is the line's clock as the shopper knows it. `waiting`: the shopper has a place that was not called yet.
    `number` is None before the draw. `random` is from 0 to 1, so that a crowd does not ask at the same moment.
    """
    if status.pace is None:
        return round(status.poll_ms * (1 + random / 5))
    jitter = 0.8 + random / 5
    wait = status.poll_ms * jitter
    until_open = max(0, status.opens_at - now)
    if waiting and number is not None:
        ahead = max(0, (number - status.called) * 1000 / status.pace - BURST_MS) if status.pace else 0
        wait = min(wait, jitter * (until_open + ahead + status.claim_ms / 10 - STALE_MS))
    elif waiting and until_open:
        wait = min(wait, until_open + DRAW_MS + STALE_MS + random * spread_ms(status.entered if status.pace else 0))
    elif waiting:  # the draw is on its way, or it is over and the document is older
        wait = min(wait, POLL_SOON_MS * jitter)
    return max(SOONEST_MS, round(wait))
