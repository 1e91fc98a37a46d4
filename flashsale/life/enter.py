"""Enter: a person whose identity is proven gets a place in a line. Entering again gives the same place."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from flashsale.gate import sale_cards, scripts
from flashsale.gate.client import gate
from flashsale.gate.messages import Caller
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import places
from flashsale.rules import lottery, wall_clock
from flashsale.rules.identity import Axis, BadValue, Digester
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AllocationMode
from flashsale.rules.token_buckets import ADDRESS_BUCKET, PARTNER_BUCKET
from flashsale.rules.tokens import Place


@dataclass(slots=True)
class Entry:
    """The place of a person who has entered: its token and index. `created` is False when the person had it before."""

    token: str
    index: int
    created: bool


@lru_cache(maxsize=256)
def digester(salt: str, version: int) -> Digester:
    """The keyed digests of the campaign with this salt (hex) and this version of the canonical forms."""
    return Digester(settings.FLASHSALE_PEPPER, bytes.fromhex(salt), version)


def digest_identity(*, card: SaleCard, values: Mapping[Axis, str], channel: int = 0) -> dict[Axis, bytes]:
    """The digests of a person's raw values, on the axes that an entry must prove.

    `channel` is the id of the channel that knows the values, because an account exists in one channel only.
    Refuses BAD_IDENTITY. The error names the axis, never the value.
    """
    axes = card.hard_at_enter
    if not all(map(values.get, axes)):
        missing = [axis.value for axis in axes if not values.get(axis)]
        raise Refused(Outcome.BAD_IDENTITY, f"Missing: {', '.join(missing)}.")
    campaign_digester = digester(card.salt, card.canon_version)
    try:
        return {axis: campaign_digester.digest(axis, values[axis], channel=channel) for axis in axes}
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
    """Gives the person a place in the line, or the place that the person has already. Safe to repeat.

    `digests` are proven, on all axes that the campaign checks at entry: by one-time codes on our own page, by the
    partner's word on a partner's channel. The word never leads to a place that a code proved. `carried` is the token of
    a place in the earlier line whose order this line carries over. `address` is the client's address; it is empty for a
    partner's request. Refuses FORBIDDEN (the channel does not serve this line, or the line is direct), UNPROVEN,
    BAD_TOKEN, FOREIGN_TOKEN, NOT_READY (compare_marks.py), and the words of enter.lua.
    """
    if channel.code not in line.channels:
        raise Refused(Outcome.FORBIDDEN, "This channel does not lead to this line.")
    axes = card.hard_at_enter
    if digests.keys() != set(axes):
        raise Refused(Outcome.UNPROVEN, f"To prove: {', '.join(axis.value for axis in axes)}.")
    if line.mode == AllocationMode.DIRECT:
        raise Refused(Outcome.FORBIDDEN, "This allocation has no line: reserve from it directly.")
    if gate().in_doubt():
        raise Refused(Outcome.NOT_READY)
    number = await old_number(card, line, digests, carried) if carried else 0
    caller = _caller_at(card, address) if address else Caller(f"channel:{channel.id}", PARTNER_BUCKET)
    answer = await scripts.enter(card, line, channel, [digests[axis] for axis in axes], carried=number, caller=caller)
    if isinstance(answer, Outcome):
        raise Refused(answer)
    for later_index in answer.voided:
        await _void(card, line, later_index)
    made_ms = wall_clock.now_ms()
    place = Place(card.sale, line.line_id, answer.index, made_ms, digests, by_code=channel.proves_by_code)
    return Entry(places.seal(place), answer.index, created=answer.fresh)


async def old_number(card: SaleCard, line: LineCard, digests: Mapping[Axis, bytes], token: str) -> int:
    """The number of the person's place in the earlier line. Refuses FOREIGN_TOKEN for the place of another person.

    Answers 0, as without a token, for a place that was given up: a person who left after the draw and entered again has
    a later place at the end of the line, and the token of that place has its number.
    """
    old, carries = places.open_token(token), line.carries
    if carries is None or (old.sale, old.line) != (carries.sale, carries.line) or dict(old.digests) != dict(digests):
        raise Refused(Outcome.FOREIGN_TOKEN, "Not a place of this person in the line that is carried over.")
    if await sale_cards.given_up(card, carries, old.index):
        return 0
    return lottery.number(old.index, carries.cohort, bytes.fromhex(carries.seed))


def _caller_at(card: SaleCard, address: str) -> Caller:
    """The caller at an address, for the rate limit. Redis counts by a digest, because it must not store the address."""
    digest = hmac.digest(settings.FLASHSALE_PEPPER, f"address/{card.salt}/{address}".encode(), "sha256")
    return Caller(f"address:{digest[:8].hex()}", ADDRESS_BUCKET)


async def _void(card: SaleCard, line: LineCard, index: int) -> None:
    """Excludes the later of a person's two places from calling.

    If the process dies before this, the number is called and its claim window lapses unused.
    """
    number, seed = await places.number_of(card, line, index)
    if number:
        await scripts.void(card, line, seed=seed, numbers=[number])
