"""Typed calls of the gate's Lua scripts (Redis): one function for each script, of the same name; words become outcomes.

Every call raises :class:`~flashsale.gate.client.GateDown` when the gate does not answer. The effect is then unknown.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from flashsale.gate.client import GateCache, Script, gate
from flashsale.gate.coalesce import Coalescer, TooManyWaiting
from flashsale.gate.held_request import HeldRequest, ReserveRequest
from flashsale.gate.keys import SaleKeys, entered_field
from flashsale.gate.messages import UNLIMITED_CALLER, Caller, EnterResult, EntryRequest, LookResult, Survey
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.rules.clock import ClockLease
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState
from flashsale.rules.token_buckets import IDENTITY_BUCKET, PLACE_BUCKET, TokenBucket

ENTER, LEAVE, LOOK, VOID = Script("enter"), Script("leave"), Script("look"), Script("void")
SURVEY, FREEZE, SEED, CALL = Script("survey"), Script("freeze"), Script("seed"), Script("call")
ROOT = Script("root")
EXTRA_TIME, NUMBER_EXTRA_TIME = Script("extra_time"), Script("number_extra_time")
TRIED_IN_TIME = Script("tried_in_time")
RESERVE, CONFIRM, DUE = Script("reserve"), Script("confirm"), Script("due")
GIVE_BACK, RETAKE = Script("give_back"), Script("retake")
WITHDRAW, UNITS_ARRIVED = Script("withdraw"), Script("units_arrived")
EXTEND_BLOCK, APPLY_DECISION, EXTEND_LEASE = Script("extend_block"), Script("apply_decision"), Script("extend_lease")
COALESCERS_MAX = 1000

# By script, line, epoch and all other values that the requests of a batch share.
COALESCERS: GateCache[tuple[object, ...], Coalescer[Any, Any]] = GateCache()


def keys_of(card: SaleCard) -> SaleKeys:
    """The keys of a card's sale."""
    return SaleKeys(card.campaign, card.sale)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


_WORDS = {word.value.encode(): word for word in Outcome}


def _word(reply: Sequence[Any]) -> Outcome:
    return _WORDS[reply[0]]


def _coalescer(
    shared: tuple[object, ...], send: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
) -> Coalescer[Any, Any]:
    """The coalescer of this event loop for requests that have these values in common."""
    coalescers = COALESCERS.entries()
    if shared not in coalescers:
        if len(coalescers) >= COALESCERS_MAX:
            # Most belong to lines and epochs that are over. Batches that are on their way are still answered.
            coalescers.clear()
        coalescers[shared] = Coalescer(send)
    return coalescers[shared]


def _line_identity(card: SaleCard, line: LineCard) -> tuple[object, ...]:
    # The commitment is in it, because restored books may use an id again, but never a secret. A batch is sent with the
    # card of its first request: what else it reads of the card (buckets, SKUs, carried line) is frozen at publication.
    return card.campaign, card.sale, card.commitment, line.line_id, card.epoch


def _out_bitmaps(card: SaleCard) -> list[str]:
    """The `out` key of each of the sale's lines, by line id, because a person may have had places in several lines."""
    keys = keys_of(card)
    return [keys.out(line_id) for line_id in range(1, card.lines[-1].line_id + 1)]


async def _enter_batch(
    card: SaleCard, line: LineCard, channel: ChannelCard, bucket: TokenBucket, requests: Sequence[EntryRequest]
) -> list[Any]:
    keys, n = keys_of(card), line.line_id
    digests = [digest for request in requests for digest in request.digests]
    raw = b"".join(digests)
    # A partner that names a person too often does not slow the same person down on our own page, nor does a question.
    asks = requests[0].asks
    proof = "q" if asks else "" if channel.proves_by_code else "w"
    most_of_channel = 0 if asks == "reserve" else card.entries_most(line, channel)
    reply = await gate().run_script(
        ENTER,
        [keys.state, keys.line(n), keys.voided(n), keys.used_campaign, keys.used_sale, keys.listed(n), keys.spent(n),
         keys.unpaid, keys.seen(n), keys.extra_time(n), *_out_bitmaps(card),
         *keys.paces([f"{request.digests[0].hex()}{proof}" for request in requests]),
         *keys.paces([request.caller for request in requests]), *keys.places(digests, card.buckets, card.bucket_axes)],
        [n, card.most_indexes(line), card.limit, card.sale_limit, *IDENTITY_BUCKET, *bucket, len(requests), raw,
         raw.hex(), int(channel.proves_by_code), entered_field(channel.id), most_of_channel, asks,
         *(request.carried for request in requests if line.carries)],
    )  # fmt: skip
    return list(reply)


async def enter(
    card: SaleCard,
    line: LineCard,
    channel: ChannelCard,
    digests: Sequence[bytes],
    *,
    carried: int = 0,
    caller: Caller = UNLIMITED_CALLER,
    asks: Literal["", "enter", "reserve"] = "",
) -> EnterResult | Outcome:
    """The place in a line of a person who comes from this channel, or why the person gets none.

    `carried` is the old number that the person shows in a line that carries an order over, 0 for none. Requests for one
    line go to the gate in one batch. With `asks` nothing changes: see enter.lua.
    """
    bucket = caller.bucket
    shared = (
        ENTER.name,
        *_line_identity(card, line),
        card.max_entries,
        card.limit,
        card.sale_limit,
        bucket,
        channel,
        len(digests),
        asks,
    )
    coalescer = _coalescer(shared, lambda requests: _enter_batch(card, line, channel, bucket, requests))
    try:
        reply = await coalescer.submit(EntryRequest(digests, carried, caller.name, asks))
    except TooManyWaiting:
        return Outcome.TOO_MANY_REQUESTS
    word = _word(reply)
    return EnterResult(reply[1], reply[2] == 1, tuple(reply[3:])) if word is Outcome.ENTERED else word


async def leave(card: SaleCard, line: LineCard, *, index: int, number: int, seed: str) -> Outcome:
    """Gives a place up: LEFT, or why not. `number` is 0 and `seed` empty while the line is not drawn."""
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.out(n), keys.spent(n), keys.seen(n), keys.extra_time(n)]
    return _word(await gate().run_script(LEAVE, where, [index, number, seed]))


async def void(card: SaleCard, line: LineCard, *, seed: str, numbers: Sequence[int]) -> Outcome:
    """Marks numbers as spent, so that calling passes over them."""
    keys, n = keys_of(card), line.line_id
    return _word(await gate().run_script(VOID, [keys.state, keys.line(n), keys.spent(n)], [seed, *numbers]))


async def look(
    card: SaleCard, line: LineCard, *, index: int, number: int, seed: str, digests: Sequence[bytes], by_code: bool
) -> LookResult | Outcome:
    """The state of a place. Restores the place where the gate has lost it.

    `by_code`: one-time codes proved the digests; else a partner says that they are the person's.
    """
    keys, n = keys_of(card), line.line_id
    reply = await gate().run_script(
        LOOK,
        [keys.state, keys.line(n), keys.voided(n), keys.spent(n), keys.waves(n), keys.extra_time(n), keys.seen(n),
         *keys.paces([f"look:{n}:{index}"]), *_out_bitmaps(card),
         *keys.places(digests, card.buckets, card.bucket_axes)],
        [n, index, number, seed, *PLACE_BUCKET, int(by_code), *digests],
    )  # fmt: skip
    word = _word(reply)
    return LookResult(PlaceState(_text(reply[1])), reply[2], reply[3], reply[4]) if word is Outcome.LOOKED else word


async def survey(card: SaleCard, line: LineCard) -> Survey | Outcome:
    """The figures of a line. Moves the marks of lapsed claims on, and raises the mark of the sale."""
    keys, n = keys_of(card), line.line_id
    reply = await gate().run_script(
        SURVEY,
        [keys.state, keys.line(n), keys.spent(n), keys.waves(n), keys.extra_time(n),
         *(keys.free(n, sku) for sku in line.skus)],
        [card.weight],
    )  # fmt: skip
    if _word(reply) is not Outcome.LOOKED:
        return _word(reply)
    figures = {_text(name): value for name, value in zip(reply[2::2], reply[3::2], strict=True)}
    figures |= {name: _text(figures[name]) for name in ("state", "seed", "root")}
    figures |= {"frozen": figures["frozen"] == 1, "waits": figures["waits"] == 1}
    figures["expected"] = float(figures["expected"])
    figures["cohort"] = int(figures["cohort"]) if figures["cohort"] else None
    gate().see_mark(keys.state, figures["mark"])
    return Survey(**figures, free=dict(zip(line.skus, reply[1], strict=True)))


async def extra_time(card: SaleCard, line: LineCard, *, index: int, number: int, seed: str, most: int) -> Outcome:
    """Gives a place that is not called yet twice the time to claim: GRANTED, or why not.

    `most` is how many places of the line may have extra time.
    """
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.extra_time(n), keys.out(n), keys.voided(n)]
    return _word(await gate().run_script(EXTRA_TIME, where, [index, number, seed, most]))


async def tried_in_time(card: SaleCard, line: LineCard, *, index: int, number: int, seed: str, ago_ms: int) -> Outcome:
    """Gives a place that tried to reserve in time, `ago_ms` ago, twice the time to claim: GRANTED, or why not."""
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.spent(n), keys.waves(n), keys.extra_time(n)]
    return _word(await gate().run_script(TRIED_IN_TIME, where, [index, number, seed, ago_ms]))


async def number_extra_time(card: SaleCard, line: LineCard, *, numbers: Mapping[int, int]) -> Outcome:
    """Writes the numbers (by index) of places that got extra time before the draw."""
    keys = keys_of(card)
    pairs = [x for index, number in numbers.items() for x in (number, index)]
    return _word(await gate().run_script(NUMBER_EXTRA_TIME, [keys.state, keys.extra_time(line.line_id)], pairs))


async def freeze(card: SaleCard) -> dict[int, int] | Outcome:
    """Cohort by line id. The first call after the time of the freeze fixes the cohorts."""
    keys = keys_of(card)
    reply = await gate().run_script(FREEZE, [keys.state, *(keys.line(line.line_id) for line in card.lines)], [])
    if _word(reply) is not Outcome.LOOKED:
        return _word(reply)
    return {line.line_id: cohort for line, cohort in zip(card.lines, reply[1:], strict=True)}


async def seed(card: SaleCard, line: LineCard, *, cohort: int, seed: str) -> Outcome:
    """Writes the cohort and the seed (hex) of a line, unless it has a seed."""
    keys = keys_of(card)
    return _word(await gate().run_script(SEED, [keys.state, keys.line(line.line_id)], [cohort, seed]))


async def root(card: SaleCard, line: LineCard, *, cohort: int, root: str, round_: int, waits: bool) -> Outcome:
    """Publishes the root (hex) of a line's entries in Redis, with their count and the round of its beacon (0: none).

    `waits`: the numbers wait for the beacon, and people may leave meanwhile.
    """
    keys = keys_of(card)
    where = [keys.state, keys.line(line.line_id)]
    return _word(await gate().run_script(ROOT, where, [cohort, root, round_, int(waits)]))


async def call(
    card: SaleCard, line: LineCard, *, seed: str, called: int, people: int, removed: int = 0, upto: int = 0
) -> int | Outcome:
    """Calls the next `people` of a line, none after the number `upto` (0: any); the last number called after it.

    Changes nothing when `called` or `removed` is not what the survey said any more.
    """
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.spent(n), keys.waves(n)]
    reply = await gate().run_script(CALL, where, [seed, called, people, removed, upto])
    return int(reply[1]) if _word(reply) is Outcome.LOOKED else _word(reply)


async def _reserve_batch(card: SaleCard, line: LineCard, seed: str, requests: Sequence[ReserveRequest]) -> list[Any]:
    keys, n = keys_of(card), line.line_id
    reply = await gate().run_script(
        RESERVE,
        [keys.state, keys.line(n), keys.out(n), keys.voided(n), keys.spent(n), keys.waves(n), keys.used_campaign,
         keys.used_sale, keys.held_requests, keys.holds, keys.due, keys.listed(n), keys.extra_time(n), keys.unpaid,
         *(keys.free(n, sku) for sku in line.skus), *keys.paces([request.bucket_name for request in requests])],
        [seed, *PLACE_BUCKET, len(line.skus), card.most_indexes(line), card.overbooking, card.weight,
         *(value for request in requests for value in request.to_args())],
    )  # fmt: skip
    return list(reply)


async def reserve(card: SaleCard, line: LineCard, *, seed: str, request: ReserveRequest) -> HeldRequest | Outcome:
    """What the gate holds for this request, or why nothing. A repeated key gets what is held for the first request.

    Requests for one line go to the gate in one batch.
    """
    shared = (RESERVE.name, *_line_identity(card, line), card.most_indexes(line), card.overbooking, card.weight, seed)
    coalescer = _coalescer(shared, lambda requests: _reserve_batch(card, line, seed, requests))
    try:
        reply = await coalescer.submit(request)
    except TooManyWaiting:
        return Outcome.TOO_MANY_REQUESTS
    word = _word(reply)
    if word is not Outcome.RESERVED:
        return word
    # In a direct line the gate has given the request an index, so it is not the same as the one that was sent.
    unchanged = reply[2] == 1 and request.index
    return HeldRequest.from_json(reply[1], request if unchanged else None)


async def confirm(card: SaleCard, line: LineCard, *, reservation: str, quantity: int) -> Outcome:
    """Takes a reservation that the books have confirmed out of those that come due.

    Confirmations of one line go to the gate in one batch.
    """

    async def send(sold: Sequence[tuple[str, int]]) -> list[Outcome]:
        keys = keys_of(card)
        where = [keys.state, keys.line(line.line_id), keys.due]
        word = _word(await gate().run_script(CONFIRM, where, [value for pair in sold for value in pair]))
        return [word] * len(sold)

    try:
        word: Outcome = await _coalescer((CONFIRM.name, *_line_identity(card, line)), send).submit(
            (reservation, quantity)
        )
    except TooManyWaiting:
        return Outcome.TOO_MANY_REQUESTS
    return word


async def give_back(
    card: SaleCard,
    line: LineCard,
    *,
    reservation: str = "",
    frees_limit: bool = False,
    how: str = "",
    units: Sequence[tuple[int, int, str]] = (),
) -> int | Outcome:
    """Ends a reservation that the books have ended, and offers units (id, version, SKU); how many units are new.

    `frees_limit`: its limit is given back. `how` says how it ended (EndedReservation): "abandoned" gives its place and
    its request key back, too, and "expired" counts it as an unpaid hold.
    """
    keys, n = keys_of(card), line.line_id
    offered = [x for unit, version, sku in units for x in (unit, version, line.skus.index(sku))]
    reply = await gate().run_script(
        GIVE_BACK,
        [keys.state, keys.line(n), keys.used_campaign, keys.used_sale, keys.held_requests, keys.holds, keys.due,
         keys.units, keys.spent(n), keys.unpaid, *(keys.free(n, sku) for sku in line.skus)],
        [reservation, int(frees_limit), how, *offered],
    )  # fmt: skip
    return int(reply[1]) if _word(reply) is Outcome.LOOKED else _word(reply)


async def retake(
    card: SaleCard, line: LineCard, *, held: HeldRequest, promised: int, called: int, kept_ms: int
) -> Outcome:
    """Takes the units of an expired reservation once more: RESERVED, or why not.

    `promised` free units belong to people who were called, when `called` was the last number. The units come due again
    after `kept_ms`.
    """
    keys, n = keys_of(card), line.line_id
    reply = await gate().run_script(
        RETAKE,
        [keys.state, keys.line(n), keys.used_campaign, keys.used_sale, keys.held_requests, keys.holds, keys.due,
         keys.units, keys.unpaid, *(keys.free(n, sku) for sku in line.skus)],
        [held.to_json(), card.limit, card.sale_limit, promised, called, kept_ms],
    )  # fmt: skip
    return _word(reply)


async def withdraw(card: SaleCard, line: LineCard, *, keep: int, called: int) -> dict[int, int] | Outcome:
    """Takes all free units but `keep` out of the offer, if `called` is still the last number called.

    Answers unit id → version of all units that are on their way to the successor, those of earlier calls among them.
    """
    keys, n = keys_of(card), line.line_id
    where = [keys.state, keys.line(n), keys.moving(n), *(keys.free(n, sku) for sku in line.skus)]
    reply = await gate().run_script(WITHDRAW, where, [keep, called])
    if _word(reply) is not Outcome.LOOKED:
        return _word(reply)
    return {int(unit): int(version) for unit, version in zip(reply[1::2], reply[2::2], strict=True)}


async def units_arrived(card: SaleCard, line: LineCard, *, units: Sequence[int]) -> Outcome:
    """Takes units that the books have moved to the successor out of those that are on their way."""
    keys = keys_of(card)
    return _word(await gate().run_script(UNITS_ARRIVED, [keys.state, keys.moving(line.line_id)], list(units)))


async def due(card: SaleCard, *, most: int, grace_ms: int = 0) -> tuple[int, dict[str, HeldRequest]] | Outcome:
    """What is held `grace_ms` after its deadline, by reservation id: at most `most`, the oldest first.

    Before it stands up to which deadline holds are due (ms on the line's clock).
    """
    keys = keys_of(card)
    reply = await gate().run_script(DUE, [keys.state, keys.due, keys.holds, keys.held_requests], [most, grace_ms])
    if _word(reply) is not Outcome.LOOKED:
        return _word(reply)
    pairs = zip(reply[2::2], reply[3::2], strict=True)
    return reply[1], {_text(id_): HeldRequest.from_json(held) for id_, held in pairs}


async def answers(campaign: int, sale: int) -> bool:
    """Whether the gate has this sale, and no older copy of its memory."""
    keys = SaleKeys(campaign, sale)
    reply = await gate().run_script(DUE, [keys.state, keys.due, keys.holds, keys.held_requests], [0, 0])
    return _word(reply) is Outcome.LOOKED


async def extend_block(card: SaleCard, line: LineCard, *, block: int) -> Outcome:
    """Lets the gate give indexes up to `block`, which the books have committed. A smaller block changes nothing."""
    keys = keys_of(card)
    return _word(await gate().run_script(EXTEND_BLOCK, [keys.state, keys.line(line.line_id)], [block]))


async def apply_decision(card: SaleCard, *, revision: int, **fields: str | int) -> Outcome:
    """Writes what the books have decided about the sale, and its card. An older revision changes nothing.

    The revision that the gate has already writes only the card again.
    """
    keys, pairs = keys_of(card), [x for pair in fields.items() for x in pair]
    reply = await gate().run_script(
        APPLY_DECISION,
        [keys.state, keys.card, *(keys.line(line.line_id) for line in card.lines)],
        [revision, card.seal(), *(line.opens_at for line in card.lines), *pairs],
    )
    return _word(reply)


async def extend_lease(card: SaleCard, *, revision: int, lease: ClockLease, mark: int) -> Outcome:
    """Lets the line's clock run until the lease ends. NOT_READY also where the gate has not applied the revision.

    `mark` is the highest that the books know. NOT_READY where the gate has a smaller one: its memory went back in time.
    """
    gate().see_mark(keys_of(card).state, mark)
    return _word(await gate().run_script(EXTEND_LEASE, [keys_of(card).state], [revision, *lease]))
