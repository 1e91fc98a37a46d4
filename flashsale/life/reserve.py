"""Reserve: the gate (Redis) decides in one script call, the books (PostgreSQL) commit, and then the answer is sent."""

import asyncio
import hashlib
import hmac
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import orjson
from django.conf import settings
from django.db import Error

from flashsale.books.reservations import ReservedUnit
from flashsale.books.writer_threads import writer_of
from flashsale.gate import sale_cards, scripts
from flashsale.gate.client import GateDown
from flashsale.gate.held_request import HeldRequest, ReserveRequest
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import failed_tries
from flashsale.life.expire import abandon_refused
from flashsale.life.held_request import new_reservation
from flashsale.life.look import look
from flashsale.life.spent_place import reservation_of
from flashsale.life.status import status
from flashsale.rules import lottery
from flashsale.rules.attached import NOTHING, Attached
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AllocationMode, Phase, PlaceState
from flashsale.rules.tokens import Place

KEY_CHARS_MAX = 128
# Longer than a commit of healthy books. After it the answer is UNKNOWN, within the two seconds that the door has, and
# the same key gets the result.
COMMIT_TIMEOUT_S = 1.9

# An event loop keeps only weak references to its tasks.
_written_off: set[asyncio.Future[None]] = set()

_OUTSIDE = {
    Phase.CALLED_OFF: Outcome.CALLED_OFF,
    Phase.CLOSED: Outcome.CLOSED,
    Phase.PAUSED: Outcome.PAUSED,
    Phase.OPEN: Outcome.NOT_READY,
}


@dataclass(frozen=True, slots=True)
class Reserved:
    """Units held until the deadline (ms, line's clock); `replayed` when this request was answered before."""

    id: uuid.UUID
    made_ms: int
    deadline_ms: int
    amount: int
    units: tuple[ReservedUnit, ...]
    replayed: bool
    attached: Attached = NOTHING


def direct_place(*, card: SaleCard, line: LineCard, digests: Mapping[Axis, bytes]) -> Place:
    """A person who reserves from a direct allocation, as a place with index 0.

    The partner proves the person by contract. Refuses FORBIDDEN where the allocation has a line.
    """
    if line.mode != AllocationMode.DIRECT:
        raise Refused(Outcome.FORBIDDEN, "This allocation has a line: enter it.")
    return Place(card.sale, line.line_id, 0, 0, dict(digests))


async def reserve(
    *,
    card: SaleCard,
    line: LineCard,
    channel: ChannelCard,
    place: Place,
    items: Sequence[tuple[str, int]],
    key: str,
    key_owner: str,
    attached: Attached = NOTHING,
    waited_s: float = 0.0,
) -> Reserved:
    """Holds units for a place. The same key gives the same answer, also after a process has died in between.

    `items` are (SKU, quantity). In a direct allocation `place` is a person without one (:func:`direct_place`).
    `key_owner` is the owner of the key: "place", or "channel:<id>" for a partner. `attached` is what the partner wants
    to read again with the reservation. It belongs to the request: the same key with another one is refused.
    `waited_s` is how long our proxy has had this request: a try in time keeps its turn, although a door was dead.
    Refuses in the order of rules/outcomes; UNKNOWN when the books did not answer: the same key gets the result.
    PLACE_SPENT names the reservation of the place, if the channel made it.

    1. The gate takes the units. If the process dies here, the reaper writes `abandoned` at the deadline, or a retry
       goes on at 2. If the gate does not answer, or has lost its memory, the turn of the place waits for a retry
       (failed_tries.py).
    2. The books commit. If the process dies here, a retry finds the commit.
    3. The answer. If the books refused, the gate gets everything back.
    """
    take = partial(
        _take, card, line, channel=channel, place=place, items=items, key=key, key_owner=key_owner, attached=attached
    )
    try:
        held, replayed = await _in_time(take, card, line, place, waited_s)
        return await _commit(card, held, attached, replayed=replayed)
    except GateDown:
        failed_tries.remember(card, line, place, waited_s=waited_s)
        raise
    except Refused as refused:
        if refused.outcome is Outcome.NOT_READY:
            failed_tries.remember(card, line, place, waited_s=waited_s)
        if refused.outcome is Outcome.PLACE_SPENT:
            refused.reservation = await reservation_of(line=line, channel=channel, index=place.index)
        raise


async def _in_time(
    take: Callable[[], Awaitable[tuple[HeldRequest, bool]]],
    card: SaleCard,
    line: LineCard,
    place: Place,
    waited_s: float,
) -> tuple[HeldRequest, bool]:
    """What `take` answers. If the turn has passed, but the person had tried in time, the turn is still theirs."""
    try:
        return await take()
    except Refused as refused:
        if refused.outcome is not Outcome.LAPSED:
            raise
        if waited_s >= failed_tries.WAITED_S_LEAST:
            failed_tries.remember(card, line, place, waited_s=waited_s)
        if not await failed_tries.keeps_turn(card, line, place):
            raise
    return await take()


async def _take(
    card: SaleCard,
    line: LineCard,
    *,
    channel: ChannelCard,
    place: Place,
    items: Sequence[tuple[str, int]],
    key: str,
    key_owner: str,
    attached: Attached,
) -> tuple[HeldRequest, bool]:
    """What the gate holds for this request, and whether it has held it before."""
    if channel.code not in line.channels:
        raise Refused(Outcome.FORBIDDEN, "This channel does not lead to this line.")
    positions = _items(card, line, items)
    cohort, seed = await sale_cards.draw_of(card, line)
    if not seed:
        document = await status(card=card, line=line)
        raise Refused(_OUTSIDE.get(document["phase"], Outcome.NOT_OPEN))
    number = lottery.number(place.index, cohort, bytes.fromhex(seed)) if place.index else 0
    owned_key = _key(key, key_owner, line, place)
    request = _request(
        card, line, place, channel=channel, number=number, items=positions, key=owned_key, attached=attached
    )
    held = await scripts.reserve(card, line, seed=seed, request=request)
    unseen = (Outcome.PLACE_SPENT, PlaceState.SPENT) if line.carries else (Outcome.PLACE_LEFT, PlaceState.LEFT)
    if held is unseen[0] and (await look(card=card, line=line, place=place)).state is not unseen[1]:
        # The gate had lost its memory, and the look has shown it the token of this place for the first time. Now the
        # gate knows the right answer: it may also be that the place is not called yet.
        held = await scripts.reserve(card, line, seed=seed, request=request)
    if isinstance(held, Outcome):
        raise Refused(held)
    return held, held.request.id != request.id


def _items(card: SaleCard, line: LineCard, items: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    """The items as (offer's position in the line, quantity); refuses DUPLICATE_OFFER, BAD_QUANTITY, UNKNOWN_OFFER."""
    skus = [sku for sku, _ in items]
    if len(set(skus)) != len(skus):
        raise Refused(Outcome.DUPLICATE_OFFER, "Each offer may stand once; raise its quantity instead.")
    if not items or any(quantity < 1 for _, quantity in items) or sum(q for _, q in items) > card.weight:
        raise Refused(Outcome.BAD_QUANTITY, f"From 1 to {card.weight} units in all.")
    if not set(skus) <= set(line.skus):
        raise Refused(Outcome.UNKNOWN_OFFER, f"This line sells: {', '.join(line.skus)}.")
    return sorted((line.skus.index(sku), quantity) for sku, quantity in items)


def _key(key: str, owner: str, line: LineCard, place: Place) -> str:
    if not 1 <= len(key) <= KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        raise Refused(Outcome.KEY_MISSING, f"Idempotency-Key: 1 to {KEY_CHARS_MAX} visible ASCII characters.")
    return f"{line.line_id}:{place.index}:{key}" if owner == "place" else f"{owner}:{key}"


def _request(
    card: SaleCard,
    line: LineCard,
    place: Place,
    *,
    channel: ChannelCard,
    number: int,
    items: list[tuple[int, int]],
    key: str,
    attached: Attached,
) -> ReserveRequest:
    limit_slots = tuple((axis.value, place.digests[axis].hex()) for axis in sorted(place.digests))
    # In a direct line there is no place, so the person's digests stand for it.
    content: list[object] = [line.line_id, place.index or limit_slots, items]
    return ReserveRequest(
        id=str(uuid.uuid4()), key=key, fingerprint=_fingerprint(content, attached), index=place.index,
        number=number, items=tuple(items), quantity=sum(quantity for _, quantity in items),
        digests=tuple(digest for _, digest in limit_slots), limit=card.limit, sale_limit=card.sale_limit,
        channel_id=channel.id, line_id=line.line_id, limit_slots=limit_slots,
    )  # fmt: skip


def _fingerprint(content: list[object], attached: Attached) -> str:
    """The hash of what is requested. It has a key where a partner may have typed personal data.

    Without the key, a person who reads Redis could test names. A request that attaches nothing has the hash that the
    release before gave it.
    """
    if not attached:
        return hashlib.sha256(orjson.dumps(content)).hexdigest()
    body = orjson.dumps([*content, attached.reference, attached.metadata], option=orjson.OPT_SORT_KEYS)
    return hmac.digest(settings.FLASHSALE_PEPPER, b"reserve/" + body, "sha256").hex()


async def _commit(card: SaleCard, held: HeldRequest, attached: Attached, *, replayed: bool) -> Reserved:
    new = new_reservation(card, held, attached)
    commit = writer_of(new.sale).submit(new)
    # When this task stops waiting, the commit goes on. Its error is read here, so that asyncio does not log it as lost.
    commit.add_done_callback(lambda commit: commit.cancelled() or commit.exception())
    try:
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            answer = await asyncio.shield(commit)
            if answer not in {Outcome.RESERVED, Outcome.EXPIRED}:
                await _write_off(card, held)
    except (Error, TimeoutError) as error:
        raise Refused(Outcome.UNKNOWN, "The same key will tell whether the units are held.") from error
    if answer is not Outcome.RESERVED:
        raise Refused(answer)
    return Reserved(new.id, new.made_ms, new.deadline_ms, new.amount, new.units, replayed=replayed, attached=attached)


async def _write_off(card: SaleCard, held: HeldRequest) -> None:
    """Gives back what the books refused. The work finishes even if the caller stops waiting.

    If it ended between the books and the gate, the units would stay held until the next mending.
    """
    work = asyncio.ensure_future(abandon_refused(card=card, held=held))
    _written_off.add(work)
    work.add_done_callback(_written_off.discard)
    await asyncio.shield(work)
