"""Typed calls of the gate's scripts, one function a script; words come back as outcomes.

Every call raises :class:`~flashsale.gate.client.GateDown` when the gate does not answer; what it then did is unknown.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import orjson

from flashsale.gate.client import Script, gate
from flashsale.gate.coalesce import Coalescer, TooManyWaiting
from flashsale.gate.keys import SaleKeys
from flashsale.gate.messages import NOBODY, Ask, Caller, Entered, Knock, Looked, Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.rules.clock import ClockLease
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState
from flashsale.rules.token_buckets import IDENTITY_BUCKET, PLACE_BUCKET, TokenBucket

ENTER, LEAVE, LOOK, VOID = Script("enter"), Script("leave"), Script("look"), Script("void")
SURVEY, FREEZE, SEED, CALL = Script("survey"), Script("freeze"), Script("seed"), Script("call")
RESERVE, CONFIRM, GIVE, RETAKE = Script("reserve"), Script("confirm"), Script("give"), Script("retake")
DUE, TELL, EXTEND, BEAT = Script("due"), Script("tell"), Script("extend"), Script("beat")
WITHDRAW, ARRIVED, WAIT, NUMBER = Script("withdraw"), Script("arrived"), Script("wait"), Script("number")
BATCHES_MAX = 1000


def keys_of(card: SaleCard) -> SaleKeys:
    """The keys of a card's sale."""
    return SaleKeys(card.campaign, card.sale)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


_WORDS = {word.value.encode(): word for word in Outcome}


def _word(reply: Sequence[Any]) -> Outcome:
    return _WORDS[reply[0]]


def _together(
    which: tuple[object, ...], send: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
) -> Coalescer[Any, Any]:
    """What gathers the asks of one script, line and epoch on this event loop."""
    batches = gate().kept["batches"]
    if which not in batches:
        if len(batches) >= BATCHES_MAX:
            # Of lines and epochs that are over, mostly; the batches on their way are answered all the same.
            batches.clear()
        batches[which] = Coalescer(send)
    return cast("Coalescer[Any, Any]", batches[which])


def _which(card: SaleCard, line: LineCard) -> tuple[object, ...]:
    # By the commitment, too: ids may come back with restored books, a secret never does. Batches go by the card of the
    # first ask; what they read of it beyond this (buckets, SKUs, what a line carries) is frozen at publication.
    return card.campaign, card.sale, card.commitment, line.line_id, card.epoch


def _outs(card: SaleCard) -> list[str]:
    """Who is out of each line, by the line's number: one person's proofs may have stood in several."""
    keys = keys_of(card)
    return [keys.out(number) for number in range(1, card.lines[-1].line_id + 1)]


async def _enter_batch(card: SaleCard, line: LineCard, bucket: TokenBucket, knocks: Sequence[Knock]) -> list[Any]:
    keys, n = keys_of(card), line.line_id
    digests = [digest for knock in knocks for digest in knock.digests]
    raw = b"".join(digests)
    reply = await gate().call(
        ENTER,
        [keys.state, keys.line(n), keys.voided(n), keys.used_campaign, keys.used_sale, keys.listed(n), keys.spent(n),
         keys.unpaid, keys.seen(n), keys.patient(n), *_outs(card),
         *keys.paces([knock.digests[0].hex() for knock in knocks]), *keys.paces([knock.caller for knock in knocks]),
         *keys.places(digests, card.buckets)],
        [n, card.max_entries, card.limit, card.sale_limit, *IDENTITY_BUCKET, *bucket, len(knocks), raw, raw.hex(),
         *(knock.carried for knock in knocks if line.carries)],
    )  # fmt: skip
    return list(reply)


async def enter(
    card: SaleCard, line: LineCard, digests: Sequence[bytes], *, carried: int = 0, caller: Caller = NOBODY
) -> Entered | Outcome:
    """The place of an identity in a line, or why it gets none; `carried` is the old number it shows, 0 for none.

    Identities that enter one line travel together.
    """
    who, bucket = caller
    which = (ENTER.name, *_which(card, line), card.max_entries, card.limit, card.sale_limit, bucket, len(digests))
    together = _together(which, lambda knocks: _enter_batch(card, line, bucket, knocks))
    try:
        reply = await together.ask(Knock(digests, carried, who))
    except TooManyWaiting:
        return Outcome.TOO_MANY_REQUESTS
    word = _word(reply)
    return Entered(reply[1], reply[2] == 1, tuple(reply[3:])) if word is Outcome.ENTERED else word


async def leave(card: SaleCard, line: LineCard, *, index: int, number: int, seed: str) -> Outcome:
    """Gives a place up: left, or why not."""
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.out(n), keys.spent(n), keys.seen(n), keys.patient(n)]
    return _word(await gate().call(LEAVE, where, [index, number, seed]))


async def void(card: SaleCard, line: LineCard, *, seed: str, numbers: Sequence[int]) -> Outcome:
    """Takes numbers out of the calling."""
    keys, n = keys_of(card), line.line_id
    return _word(await gate().call(VOID, [keys.state, keys.line(n), keys.spent(n)], [seed, *numbers]))


async def look(
    card: SaleCard, line: LineCard, *, index: int, number: int, seed: str, digests: Sequence[bytes]
) -> Looked | Outcome:
    """Where a place stands."""
    keys, n = keys_of(card), line.line_id
    reply = await gate().call(
        LOOK,
        [keys.state, keys.line(n), keys.voided(n), keys.spent(n), keys.waves(n), keys.patient(n), keys.seen(n),
         *keys.paces([f"look:{n}:{index}"]), *_outs(card), *keys.places(digests, card.buckets)],
        [n, index, number, seed, *PLACE_BUCKET, *digests],
    )  # fmt: skip
    word = _word(reply)
    return Looked(PlaceState(_text(reply[1])), reply[2], reply[3], reply[4]) if word is Outcome.LOOKED else word


async def survey(card: SaleCard, line: LineCard) -> Survey | Outcome:
    """The figures of a line."""
    keys, n = keys_of(card), line.line_id
    reply = await gate().call(
        SURVEY,
        [keys.state, keys.line(n), keys.spent(n), keys.waves(n), keys.patient(n),
         *(keys.free(n, sku) for sku in line.skus)],
        [],
    )  # fmt: skip
    if _word(reply) is not Outcome.LOOKED:
        return _word(reply)
    cohort = _text(reply[7])
    return Survey(
        reply[1], reply[2], _text(reply[3]), reply[4] == 1, reply[5], reply[6], int(cohort) if cohort else None,
        _text(reply[8]), reply[9], reply[10], reply[11], reply[12], reply[13], reply[14], reply[15],
        reply[16], reply[17], reply[18], dict(zip(line.skus, reply[19:], strict=True)),
    )  # fmt: skip


async def wait(card: SaleCard, line: LineCard, *, index: int, number: int, seed: str, most: int) -> Outcome:
    """Twice the time to claim for a place that is not called yet: granted, or why not."""
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.patient(n), keys.out(n), keys.voided(n)]
    return _word(await gate().call(WAIT, where, [index, number, seed, most]))


async def number(card: SaleCard, line: LineCard, *, numbers: Mapping[int, int]) -> Outcome:
    """Tells the numbers (by index) of those who asked for extra time before the draw."""
    keys = keys_of(card)
    pairs = [x for index, number in numbers.items() for x in (number, index)]
    return _word(await gate().call(NUMBER, [keys.state, keys.patient(line.line_id)], pairs))


async def freeze(card: SaleCard) -> dict[int, int] | Outcome:
    """Cohort by line number, fixed by the first call after the opening time."""
    keys = keys_of(card)
    reply = await gate().call(FREEZE, [keys.state, *(keys.line(line.line_id) for line in card.lines)], [])
    if _word(reply) is not Outcome.LOOKED:
        return _word(reply)
    return {line.line_id: cohort for line, cohort in zip(card.lines, reply[1:], strict=True)}


async def seed(card: SaleCard, line: LineCard, *, cohort: int, seed: str) -> Outcome:
    """Tells a line its cohort and seed."""
    keys = keys_of(card)
    return _word(await gate().call(SEED, [keys.state, keys.line(line.line_id)], [cohort, seed]))


async def call(
    card: SaleCard, line: LineCard, *, seed: str, called: int, people: int, removed: int = 0
) -> int | Outcome:
    """Calls so many people more, if `called` and `removed` are still as surveyed; the last number called now."""
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.spent(n), keys.waves(n)]
    reply = await gate().call(CALL, where, [seed, called, people, removed])
    return int(reply[1]) if _word(reply) is Outcome.LOOKED else _word(reply)


async def _reserve_batch(card: SaleCard, line: LineCard, seed: str, asks: Sequence[Ask]) -> list[Any]:
    keys, n = keys_of(card), line.line_id
    reply = await gate().call(
        RESERVE,
        [keys.state, keys.line(n), keys.out(n), keys.voided(n), keys.spent(n), keys.waves(n), keys.used_campaign,
         keys.used_sale, keys.asked, keys.holds, keys.due, keys.listed(n), keys.patient(n), keys.unpaid,
         *(keys.free(n, sku) for sku in line.skus), *keys.paces([ask.who for ask in asks])],
        [seed, *PLACE_BUCKET, len(line.skus), card.most_indexes(line),
         *(value for ask in asks for value in ask.to_args())],
    )  # fmt: skip
    return list(reply)


async def reserve(card: SaleCard, line: LineCard, *, seed: str, ask: Ask) -> dict[str, Any] | Outcome:
    """What the gate took for this ask (see reserve.lua), or why nothing. Asks of one line travel together."""
    which = (RESERVE.name, *_which(card, line), card.most_indexes(line), seed)
    together = _together(which, lambda asks: _reserve_batch(card, line, seed, asks))
    try:
        reply = await together.ask(ask)
    except TooManyWaiting:
        return Outcome.TOO_MANY_REQUESTS
    word = _word(reply)
    return dict(orjson.loads(reply[1])) if word is Outcome.RESERVED else word


async def confirm(card: SaleCard, line: LineCard, *, reservation: str, quantity: int) -> Outcome:
    """The books have confirmed a reservation: it cannot come due any more."""
    keys = keys_of(card)
    return _word(await gate().call(CONFIRM, [keys.state, keys.line(line.line_id), keys.due], [reservation, quantity]))


async def give(
    card: SaleCard,
    line: LineCard,
    *,
    reservation: str = "",
    frees_limit: bool = False,
    how: str = "",
    units: Sequence[tuple[int, int, str]] = (),
) -> int | Outcome:
    """The books gave back: a reservation, perhaps with its limit, units (id, version, SKU). How many are new.

    `how` the reservation ended (ReservationState): one that was abandoned gives its place and key back, too.
    """
    keys, n = keys_of(card), line.line_id
    offered = [x for unit, version, sku in units for x in (unit, version, line.skus.index(sku))]
    reply = await gate().call(
        GIVE,
        [keys.state, keys.line(n), keys.used_campaign, keys.used_sale, keys.asked, keys.holds, keys.due, keys.units,
         keys.spent(n), keys.unpaid, *(keys.free(n, sku) for sku in line.skus)],
        [reservation, int(frees_limit), how, *offered],
    )  # fmt: skip
    return int(reply[1]) if _word(reply) is Outcome.LOOKED else _word(reply)


async def retake(card: SaleCard, line: LineCard, *, taken: str, promised: int, called: int, kept_ms: int) -> Outcome:
    """Takes an expired reservation's units (`taken`, JSON as in reserve.lua) once more: reserved, or why not."""
    keys, n = keys_of(card), line.line_id
    return _word(
        await gate().call(
            RETAKE,
            [keys.state, keys.line(n), keys.used_campaign, keys.used_sale, keys.asked, keys.holds, keys.due, keys.units,
             keys.unpaid, *(keys.free(n, sku) for sku in line.skus)],
            [taken, card.limit, card.sale_limit, promised, called, kept_ms],
        )
    )  # fmt: skip


async def withdraw(card: SaleCard, line: LineCard, *, keep: int, called: int) -> dict[int, int] | Outcome:
    """Unit → version of what is on its way; all free units but `keep`, where `called` is still the last number."""
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.moving(n), *(keys.free(n, sku) for sku in line.skus)]
    reply = await gate().call(WITHDRAW, where, [keep, called])
    if _word(reply) is not Outcome.LOOKED:
        return _word(reply)
    return {int(unit): int(version) for unit, version in zip(reply[1::2], reply[2::2], strict=True)}


async def arrived(card: SaleCard, line: LineCard, *, units: Sequence[int]) -> Outcome:
    """Units that the books have moved on are no longer on their way."""
    keys = keys_of(card)
    return _word(await gate().call(ARRIVED, [keys.state, keys.moving(line.line_id)], list(units)))


async def due(card: SaleCard, *, most: int) -> tuple[int, dict[str, dict[str, Any]]] | Outcome:
    """The line's clock and what was taken by the reservations whose deadline has passed, at most so many."""
    keys = keys_of(card)
    reply = await gate().call(DUE, [keys.state, keys.due, keys.holds, keys.asked], [most])
    if _word(reply) is not Outcome.LOOKED:
        return _word(reply)
    return reply[1], {_text(id_): orjson.loads(taken) for id_, taken in zip(reply[2::2], reply[3::2], strict=True)}


async def extend(card: SaleCard, line: LineCard, *, block: int) -> Outcome:
    """The books know of indexes up to `block`; a smaller one changes nothing."""
    keys = keys_of(card)
    return _word(await gate().call(EXTEND, [keys.state, keys.line(line.line_id)], [block]))


async def tell(card: SaleCard, *, revision: int, **fields: str | int) -> Outcome:
    """Tells the gate what the books have decided about the sale, and its card; an older revision changes nothing."""
    keys, pairs = keys_of(card), [x for pair in fields.items() for x in pair]
    reply = await gate().call(
        TELL,
        [keys.state, keys.card, *(keys.line(line.line_id) for line in card.lines)],
        [revision, card.to_json(), *(line.opens_at for line in card.lines), *pairs],
    )
    return _word(reply)


async def beat(card: SaleCard, *, revision: int, lease: ClockLease) -> Outcome:
    """The line's clock may run so long; NOT_READY also where the gate has not heard of the books' revision."""
    return _word(await gate().call(BEAT, [keys_of(card).state], [revision, *lease]))
