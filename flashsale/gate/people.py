"""One person in the gate (Redis): where their digests lead, and how it forgets them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from flashsale.gate.client import GateDown, Script, gate
from flashsale.gate.held_request import HeldRequest
from flashsale.gate.inspect import CHUNK, LINES, RETURNS
from flashsale.gate.keys import SaleKeys
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.gate.scripts import keys_of
from flashsale.rules.identity import DIGEST_BYTES

FORGET_PLACE, FORGET_REQUEST = Script("forget_place"), Script("forget_request")
WORD = b"w"


@dataclass(frozen=True, slots=True, order=True)
class FoundPlace:
    """A place to which a digest leads. `by_code`: a one-time code proved the digest; else a partner says so."""

    line_id: int
    index: int
    by_code: bool


class PlaceFacts(NamedTuple):
    """What the gate knows of a place. `called` is the last number that its line has called."""

    left: bool
    voided: bool
    spent: bool
    extra_time: bool
    called: int


async def places_of(card: SaleCard, digests: Collection[bytes]) -> set[FoundPlace]:
    """The places of a sale to which these digests lead. Raises GateDown."""
    found = set()
    # The axis of a digest is not known here, so each bucket that it may be in is read.
    known = [digest for digest in digests for _ in range(max(1, card.bucket_axes))]
    pipe = gate().redis.pipeline(transaction=False)
    for digest, key in zip(known, keys_of(card).places(known, card.buckets, card.bucket_axes), strict=True):
        pipe.hmget(key, [digest, digest + WORD])
    for pair in await pipe.execute() if known else ():
        found |= {_place(int(packed)) for packed in pair if packed is not None}
    return found


def _place(packed: int) -> FoundPlace:
    return FoundPlace(abs(packed) % LINES, abs(packed) // LINES // RETURNS, packed > 0)


async def place_facts(card: SaleCard, line: LineCard, *, index: int, number: int) -> PlaceFacts:
    """What the gate knows of a place, without changing it. `number` is 0 while the line is not drawn. Raises GateDown.

    A look of the buyer's own browser may restore a lost place; this reading never does.
    """
    keys, n = keys_of(card), line.line_id
    pipe = gate().redis.pipeline(transaction=False)
    pipe.getbit(keys.out(n), index)
    pipe.sismember(keys.voided(n), index)
    pipe.getbit(keys.spent(n), number)
    pipe.zscore(keys.extra_time(n), index)
    pipe.hget(keys.line(n), "called")
    out, voided, spent, extra, called = await pipe.execute()
    return PlaceFacts(bool(out), bool(voided), bool(number and spent), extra is not None, int(called or 0))


async def fields_of(card: SaleCard, places: Collection[FoundPlace]) -> dict[FoundPlace, list[bytes]]:
    """The fields of the place buckets that lead to these places, among them digests that the caller does not know.

    Reads all places of the sale, in pieces. Raises GateDown.
    """
    found: dict[FoundPlace, list[bytes]] = {place: [] for place in places}
    keys = keys_of(card)
    for start in range(0, card.buckets if places else 0, CHUNK):
        pipe = gate().redis.pipeline(transaction=False)
        for key in keys.buckets(range(start, min(start + CHUNK, card.buckets))):
            pipe.hgetall(key)
        for bucket in await pipe.execute():
            for field, packed in bucket.items():
                if (place := _place(int(packed))) in found:
                    found[place].append(field)
    return found


async def forget_place(
    card: SaleCard, line: LineCard, *, index: int, number: int, seed: str, fields: Sequence[bytes]
) -> None:
    """Gives the place up for good, and deletes the digests that lead to it. Safe to repeat.

    Raises GateDown, also where the gate is not ready for this sale.
    """
    keys, n = keys_of(card), line.line_id
    fields = [field for field in fields for _ in range(max(1, card.bucket_axes))]
    digests = [field[:DIGEST_BYTES] for field in fields]
    where = [keys.state, keys.line(n), keys.out(n), keys.spent(n), keys.seen(n), keys.extra_time(n)]
    reply = await gate().run_script(
        FORGET_PLACE,
        [*where, *keys.places(digests, card.buckets, card.bucket_axes)],
        [index, number, seed, *fields],
    )
    _done(reply, card)


async def forget_listed(card: SaleCard, digests: Collection[str]) -> None:
    """Takes digests (hex) off the lists of a sale. Raises GateDown."""
    pipe = gate().redis.pipeline(transaction=False)
    for line in card.lines if digests else ():
        pipe.srem(keys_of(card).listed(line.line_id), *digests)
    await pipe.execute()


async def forget_requests(card: SaleCard, slots: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Gives what is held for reservations the digests of `slots`: by reservation id, the (axis, digest) in PostgreSQL.

    Their request keys become their ids. The counts of the limits follow, so that the gate counts as PostgreSQL does.
    Safe to repeat. Raises GateDown.
    """
    proven = {axis.value for axis in card.hard_at_enter}
    async for key, text in gate().redis.hscan_iter(keys_of(card).held_requests, count=CHUNK):
        held = HeldRequest.from_json(text)
        if held.request.id in slots:
            new_slots = tuple(sorted(slots[held.request.id]))
            digests = tuple(sorted({digest for axis, digest in new_slots if axis in proven}))
            request = replace(
                held.request, key=held.request.id, fingerprint="", digests=digests, limit_slots=new_slots
            )  # fmt: skip
            await _forget_request(card, key, text, held, replace(held, request=request))


async def _forget_request(card: SaleCard, key: bytes, text: bytes, old: HeldRequest, new: HeldRequest) -> None:
    keys: SaleKeys = keys_of(card)
    reply = await gate().run_script(
        FORGET_REQUEST,
        [keys.state, keys.used_campaign, keys.used_sale, keys.held_requests, keys.holds, keys.unpaid],
        [
            old.request.id, key, new.request.key, text, new.to_json(), old.request.quantity, len(old.request.digests),
            *old.request.digests, *new.request.digests,
        ],
    )  # fmt: skip
    _done(reply, card)


def _done(reply: Sequence[bytes], card: SaleCard) -> None:
    if reply[0] == b"not_ready":
        raise GateDown(f"{card.code} is not ready in Redis: repeat this later")


def lines_of(card: SaleCard, places: Collection[FoundPlace]) -> Iterator[tuple[LineCard, FoundPlace]]:
    """Each place with its line; places of lines that the sale does not have are left out."""
    for place in sorted(places):
        line = card.line_by_id(place.line_id)
        if line is not None:
            yield line, place
