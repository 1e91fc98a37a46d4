"""Enter: a proven identity gets its place in a line, the same one however often it asks."""

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from flashsale.gate import sale_cards, scripts
from flashsale.gate.messages import Caller
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import places
from flashsale.rules import lottery
from flashsale.rules.identity import Axis, BadValue, Digester
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AllocationMode
from flashsale.rules.token_buckets import ADDRESS_BUCKET, PARTNER_BUCKET
from flashsale.rules.tokens import Place


@dataclass(slots=True)
class Entry:
    """A place given: its token, its index, and whether it is new."""

    token: str
    index: int
    fresh: bool


@lru_cache(maxsize=256)
def digester(salt: str) -> Digester:
    """The keyed digests of the campaign with this salt (hex)."""
    return Digester(settings.FLASHSALE_PEPPER, bytes.fromhex(salt))


def digests(*, card: SaleCard, values: Mapping[Axis, str], channel: int = 0) -> dict[Axis, bytes]:
    """Raw values as digests, on the axes that an entry must prove; refuses BAD_IDENTITY, naming only the axis.

    `channel` is the id of the one that knows them: accounts are its own.
    """
    axes = card.hard_at_enter
    if not all(map(values.get, axes)):
        missing = [axis.value for axis in axes if not values.get(axis)]
        raise Refused(Outcome.BAD_IDENTITY, f"Missing: {', '.join(missing)}.")
    known = digester(card.salt)
    try:
        return {axis: known.digest(axis, values[axis], channel=channel) for axis in axes}
    except BadValue as error:
        raise Refused(Outcome.BAD_IDENTITY, f"{error.axis.value}: {error}") from error


async def enter(
    *,
    card: SaleCard,
    line: LineCard,
    channel: ChannelCard,
    digests: Mapping[Axis, bytes],
    carried: str = "",
    address: str = "",
) -> Entry:
    """The place of an identity that was proven on all axes the campaign demands at the door.

    `carried` is the token of a place in the line whose order this one carries over; `address` the client's, where it
    came by itself and not through a partner.
    Refuses FORBIDDEN (the channel does not serve this line), UNPROVEN, BAD_TOKEN, FOREIGN_TOKEN, and the words of
    enter.lua.
    """
    if channel.code not in line.channels:
        raise Refused(Outcome.FORBIDDEN, "This channel does not lead to this line.")
    axes = card.hard_at_enter
    if digests.keys() != set(axes):
        raise Refused(Outcome.UNPROVEN, f"To prove: {', '.join(axis.value for axis in axes)}.")
    if line.mode == AllocationMode.DIRECT:
        raise Refused(Outcome.FORBIDDEN, "This allocation has no line: reserve from it directly.")
    old = await _old_number(card, line, digests, carried) if carried else 0
    caller = _caller_at(card, address) if address else Caller(f"channel:{channel.id}", PARTNER_BUCKET)
    answer = await scripts.enter(card, line, [digests[axis] for axis in axes], carried=old, caller=caller)
    if isinstance(answer, Outcome):
        raise Refused(answer)
    for later in answer.voided:
        await _void(card, line, later)
    place = Place(card.sale, line.line_id, answer.index, time.time_ns() // 1_000_000, digests)
    return Entry(places.seal(place), answer.index, answer.fresh)


async def _old_number(card: SaleCard, line: LineCard, digests: Mapping[Axis, bytes], token: str) -> int:
    """The number of an old place, which must be this identity's own; 0, as if none were shown, for one given up.

    Whoever left after the draw stands at the end, and their later place shows that number.
    """
    old, carries = places.read(token), line.carries
    if carries is None or (old.sale, old.line) != (carries.sale, carries.line) or dict(old.digests) != dict(digests):
        raise Refused(Outcome.FOREIGN_TOKEN, "Not a place of this person in the line that is carried over.")
    if await sale_cards.given_up(card, carries, old.index):
        return 0
    return lottery.number(old.index, carries.cohort, bytes.fromhex(carries.seed))


def _caller_at(card: SaleCard, address: str) -> Caller:
    """Somebody at an address, which the gate must not learn: it counts by a digest, as with people."""
    known = hmac.digest(settings.FLASHSALE_PEPPER, f"address/{card.salt}/{address}".encode(), "sha256")
    return Caller(f"address:{known[:8].hex()}", ADDRESS_BUCKET)


async def _void(card: SaleCard, line: LineCard, index: int) -> None:
    """Takes the later of two places out of the calling. If we die before, the claim of its number merely lapses."""
    number, seed = await places.number_of(card, line, index)
    if number:
        await scripts.void(card, line, seed=seed, numbers=[number])
