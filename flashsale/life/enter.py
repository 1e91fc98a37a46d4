"""Enter: a proven identity gets its place in a line, the same one however often it asks."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from flashsale.gate import scripts
from flashsale.gate.card import ChannelCard, LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.identity import Axis, BadValue, Digester
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A place given: its token, its index, and whether it is new."""

    token: str
    index: int
    fresh: bool


@lru_cache(maxsize=256)
def digester(salt: str) -> Digester:
    """The keyed digests of the campaign with this salt (hex)."""
    return Digester(settings.FLASHSALE_PEPPER, bytes.fromhex(salt))


def digests(*, card: SaleCard, values: Mapping[Axis, str]) -> dict[Axis, bytes]:
    """Raw values as digests, on the axes that an entry must prove; refuses BAD_IDENTITY, naming only the axis."""
    missing = [axis.value for axis in card.hard_at_enter if not values.get(axis)]
    if missing:
        raise Refused(Outcome.BAD_IDENTITY, f"Missing: {', '.join(missing)}.")
    try:
        return {axis: digester(card.salt).digest(axis, values[axis]) for axis in card.hard_at_enter}
    except BadValue as error:
        raise Refused(Outcome.BAD_IDENTITY, f"{error.axis.value}: {error}") from error


async def enter(*, card: SaleCard, line: LineCard, channel: ChannelCard, digests: Mapping[Axis, bytes]) -> Entry:
    """The place of an identity that was proven on all axes the campaign demands at the door.

    Refuses FORBIDDEN (the channel does not serve this line), UNPROVEN, and the words of enter.lua.
    """
    if channel.code not in line.channels:
        raise Refused(Outcome.FORBIDDEN, "This channel does not lead to this line.")
    if set(digests) != set(card.hard_at_enter):
        raise Refused(Outcome.UNPROVEN, f"To prove: {', '.join(axis.value for axis in card.hard_at_enter)}.")
    answer = await scripts.enter(card, line, [digests[axis] for axis in sorted(digests)])
    if isinstance(answer, Outcome):
        raise Refused(answer)
    if answer.voided:
        await _void(card, line, answer.voided)
    place = Place(card.sale, line.number, answer.index, time.time_ns() // 1_000_000, dict(digests))
    return Entry(places.seal(place), answer.index, answer.fresh)


async def _void(card: SaleCard, line: LineCard, index: int) -> None:
    """Takes the later of two places out of the calling. If we die before, the claim of its number merely lapses."""
    number, seed = await places.number_of(card, line, index)
    if number:
        await scripts.void(card, line, seed=seed, numbers=[number])
