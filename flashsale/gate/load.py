"""Fills the gate (Redis) from the books (PostgreSQL): at publication, and after the gate has lost its memory.

How this works
--------------
The gate refuses all work while the sale's hash has no `run`. Loading deletes it first and writes it last, so the gate
answers for a sale only when everything is there. Until then no script writes, so loading may read a value, change it
and write it back. A load that was broken off can run again, and it gets the same result.

After a loss, Redis may have everything but its last second, or an old copy, or nothing. Stock, holds, limits and draws
come from the books, whole. The books know less of the crowd than Redis knew, so each line has three parts:

    index      1 ............ entered ............... block ............
               were given     |  perhaps given        |  never given
                              |  (the "gap")          |
    bit `out`  as Redis or    |  1, until the token   |  new people get
               the books know |  is shown once        |  these indexes

* `entered` is the last index that Redis or the books know as given.
* `block` is the last index that the books committed. The gate never gives an index before the books have committed it.
* The indexes of the gap may have been given in the last second. They count as out (and as spent in a drawn line), so
  that calling passes over them. When a person shows the token of such an index, look.lua takes the place back in.

A line that carries an order over has no gap. All old numbers begin as spent. A number counts again when its owner has
shown the old place, which the bit `seen` says.

All bitmaps have the order of Redis' SETBIT: bit n is in byte n // 8, and the highest bit of a byte comes first.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from redis.exceptions import WatchError

from flashsale.gate.client import Script, gate, wall_ms
from flashsale.gate.held_request import HeldRequest
from flashsale.gate.keys import SaleKeys, entered_field
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import SaleCard
from flashsale.gate.sale_cards import store_card
from flashsale.rules.clock import ClockLease, line_clock

Item = TypeVar("Item")
COUNT_AT_LEAST = Script("count_at_least")
CHUNK = 1000
TRIES_MAX = 100
# More surveys than a sale has in one epoch. 9,000 epochs fit into the numbers of Lua.
MARKS_OF_EPOCH = 10**12
_KEPT = ("entered", "called", "lapsed", "left", "gaps")


@dataclass(slots=True)
class LineLoad:
    """A line as the books know it. Where Redis has newer crowd data, that data is kept.

    `spent`: numbers that were reserved. `listed`: digests (hex) of the allocation's list. `carried`: how many old
    numbers the line carries over, 0 for none. `crowd`: the last copy of the bitmaps, and of the channels' counts.
    `absent`: the numbers of the indexes that are out in it, where the line is drawn. `entries`: where the line has
    committed to its entries, how many they are, their root (hex), and the round of the beacon (0: none).
    """

    line_id: int
    block: int
    cohort: int | None
    seed: str
    called: int
    held: int = 0
    sold: int = 0
    spent: list[int] = field(default_factory=list)
    entered: int = 0
    listed: list[str] = field(default_factory=list)
    carried: int = 0
    direct: bool = False
    lapsed: int = 0
    crowd: Crowd = field(default_factory=Crowd)
    absent: list[int] = field(default_factory=list)
    entries: tuple[int, str, int] | None = None


@dataclass(slots=True)
class SaleLoad:
    """Everything of a sale that grows with its stock.

    `fresh`: loaded at publication, so nothing was lost. `units`: id → version; `free`: the same by (line id, SKU).
    `held_requests`: by request key. `holds`: reservation id → request key. `due`: reservation id → deadline (ms).
    `used_sale`: digest (hex) → units that count for the sale's own limit.
    """

    card: SaleCard
    fresh: bool
    revision: int
    state: str
    paused_ms: int
    lease: ClockLease
    frozen: bool
    lines: list[LineLoad]
    units: dict[str, int]
    free: dict[tuple[int, str], dict[str, int]]
    held_requests: dict[str, HeldRequest]
    holds: dict[str, str]
    due: dict[str, int]
    used_sale: dict[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts for the limits of a campaign, over all its sales: digest (hex) → units, unpaid holds.

    `others_go_on`: the gate has other sales of the campaign. Its counts stay where they are higher, because it may have
    taken units that the books have not committed.
    """

    used: dict[str, int]
    unpaid: dict[str, int]
    others_go_on: bool = False


async def load(sales: Sequence[SaleLoad], counts: Counts | None) -> None:
    """Fills the gate with these sales of a campaign; until the last write it refuses them. Safe to repeat.

    Without `counts` the gate keeps the counts that it has. Raises GateDown.
    """
    # Read at the start: a server that restarts or follows another one while it is being filled gets other ids, and goes
    # on refusing.
    run_id, replication = await gate().run_id(), await gate().replication_id()
    for sale in sales:
        await _load(sale)
    if counts:
        await _count(SaleKeys(sales[0].card.campaign, 0), counts)
    await _open(sales, run_id, replication)


async def _load(sale: SaleLoad) -> None:
    keys, redis = SaleKeys(sale.card.campaign, sale.card.sale), gate().redis
    await redis.hdel(keys.state, "run")
    await _forget_uncommitted(keys, sale)
    free_keys = [keys.free(line.line_id, sku) for line in sale.card.lines for sku in line.skus]
    # Units that were on their way to another line are free in the books, or have arrived.
    moving = [keys.moving(line.line_id) for line in sale.card.lines]
    await redis.delete(keys.units, keys.held_requests, keys.holds, keys.due, keys.used_sale, *free_keys, *moving)
    now = await _line_clock(sale)
    for line in sale.lines:
        await _load_rules(keys, line, card=sale.card)
        await _load_line(keys, line, sale=sale, now=now)
    await _fill(keys.units, sale.units)
    await _fill(keys.held_requests, {key: held.to_json() for key, held in sale.held_requests.items()})
    await _fill(keys.holds, sale.holds)
    await _fill(keys.used_sale, sale.used_sale)
    await _rank(keys.due, sale.due)
    for (line_id, sku), units in sale.free.items():
        await _rank(keys.free(line_id, sku), units)
    await store_card(sale.card)


async def _forget_uncommitted(keys: SaleKeys, sale: SaleLoad) -> None:
    """Frees the places of reservations that the books never committed, so that their owners can reserve again."""
    redis = gate().redis
    known = [key.decode() for key in await redis.hkeys(keys.held_requests)]
    for chunk in _chunks(key for key in known if key not in sale.held_requests):
        for held in await redis.hmget(keys.held_requests, chunk):
            request = HeldRequest.from_json(held).request
            await redis.setbit(keys.spent(request.line_id), request.number, 0)


async def _count(keys: SaleKeys, counts: Counts) -> None:
    if not counts.others_go_on:
        await gate().redis.delete(keys.used_campaign, keys.unpaid)
    for key, by_digest in ((keys.used_campaign, counts.used), (keys.unpaid, counts.unpaid)):
        if not counts.others_go_on:
            await _fill(key, by_digest)
            continue
        for chunk in _chunks(by_digest.items()):
            await gate().run_script(COUNT_AT_LEAST, [key], [value for pair in chunk for value in pair])


async def count_less(card: SaleCard, counts: Counts) -> None:
    """Takes these numbers off the counts of the campaign, and drops the people whose count is 0. Raises GateDown."""
    keys = SaleKeys(card.campaign, card.sale)
    for key, by_digest in ((keys.used_campaign, counts.used), (keys.unpaid, counts.unpaid)):
        less = {digest.decode(): 0 async for digest, count in gate().redis.hscan_iter(key) if int(count) <= 0}
        for chunk in _chunks((less | by_digest).items()):
            await _count_less(key, dict(chunk))


async def _count_less(key: str, less: dict[str, int]) -> None:
    # The hash of a running campaign may change at any time. Then Redis does nothing, and the counts are read again.
    for _ in range(TRIES_MAX):
        async with gate().redis.pipeline(transaction=True) as pipe:
            await pipe.watch(key)
            counts = dict(zip(less, await pipe.hmget(key, list(less)), strict=True))
            pipe.multi()
            for digest, count in counts.items():
                rest = int(count or 0) - less[digest]
                if rest > 0:
                    pipe.hset(key, digest, rest)
                else:
                    pipe.hdel(key, digest)
            with suppress(WatchError):
                await pipe.execute()
                return


async def _line_clock(sale: SaleLoad) -> int:
    return line_clock(wall=await wall_ms(), opens=sale.card.opens_at, lease=sale.lease, stopped=sale.paused_ms)


async def _open(sales: Sequence[SaleLoad], run_id: str, replication: str) -> None:
    """The last write: after it the scripts answer, for all the sales at once."""
    pipe = gate().redis.pipeline(transaction=True)
    for sale in sales:
        card = sale.card
        fields: dict[str, str | int] = {
            "run": run_id, "replication": replication, "mark": first_mark(card), "revision": sale.revision,
            "state": sale.state, "epoch": card.epoch, "lobby": card.lobby_at, "opens": card.opens_at,
            "closes": card.closes_at, "claim": card.claim_ms, "hold": card.hold_ms,
            "paused_ms": sale.paused_ms, "runs_from": sale.lease.since, "runs_until": sale.lease.until,
            "frozen": int(sale.frozen), "freeze_ms": card.freeze_ms, "commits": int(card.commits_entries),
        }  # fmt: skip
        pipe.hset(SaleKeys(card.campaign, card.sale).state, mapping=fields)
    await pipe.execute()
    for sale in sales:
        gate().start_marks(SaleKeys(sale.card.campaign, sale.card.sale).state, first_mark(sale.card))


def first_mark(card: SaleCard) -> int:
    """The mark of a sale that was just loaded. It is higher than every mark of its earlier epochs."""
    return card.epoch * MARKS_OF_EPOCH


async def _load_line(keys: SaleKeys, line: LineLoad, *, sale: SaleLoad, now: int) -> None:
    """Fills one line. Writes the counters last, so that loading again starts from the same counters."""
    redis, key, n = gate().redis, keys.line(line.line_id), line.line_id
    values = await redis.hmget(key, list(_KEPT))
    kept = {name: int(value) for name, value in zip(_KEPT, values, strict=True) if value is not None}
    # Redis may have lost its last seconds, so new indexes start after all that may have been given.
    entered = line.block if line.carried or not sale.fresh else 0
    called = entered if line.direct else max(line.called, kept.get("called", 0))
    lapsed = called if line.direct else max(line.lapsed, kept.get("lapsed", 0))
    fields: dict[str, str | int] = {
        "block": line.block, "held": line.held, "sold": line.sold, "entered": entered, "called": called,
        "lapsed": lapsed, "left": kept.get("left", 0),
    }  # fmt: skip
    for channel, count in line.crowd.entered.items():
        name = entered_field(channel)
        fields[name] = max(count, int(await redis.hget(key, name) or 0))
    if line.entries:
        fields |= dict(zip(("cohort", "root", "round"), line.entries, strict=True))
    if line.cohort is not None:
        fields |= {"cohort": line.cohort, "seed": line.seed}
    if not kept and line.crowd.seen + line.crowd.out:
        await _load_crowd(keys, line)
    await _mark(keys.spent(n), line.spent)
    if not sale.fresh and not line.carried and not line.direct:
        gap = range(max(line.entered, kept.get("entered", 0)) + 1, line.block + 1)
        fields |= {"lost": line.block, "gaps": kept.get("gaps", len(line.crowd.absent())) + len(gap)}
        await _mark_gap(keys, line, gap)
    # People called before the loss get their whole claim window again, except those whose window was over.
    for last, at in ((lapsed, now - 2 * sale.card.claim_ms), (called, now)):
        if last and not await redis.zrangebyscore(keys.waves(n), last, "+inf"):
            await redis.zadd(keys.waves(n), {f"{last}:{at}": last})
    await redis.hset(key, mapping=fields)


async def _load_crowd(keys: SaleKeys, line: LineLoad) -> None:
    """Writes the places that are out of a line that Redis has lost, from the last copy in the books."""
    await gate().redis.set(keys.out(line.line_id), line.crowd.out)
    if not line.carried:
        await gate().redis.set(keys.seen(line.line_id), line.crowd.seen)
    await _mark(keys.spent(line.line_id), line.absent)


async def _mark_gap(keys: SaleKeys, line: LineLoad, gap: range) -> None:
    """Marks the indexes of the gap as out until their token is seen; most of them were never given."""
    await _mark(keys.out(line.line_id), gap)
    if line.cohort is not None:
        await _mark(keys.spent(line.line_id), gap)


async def _load_rules(keys: SaleKeys, line: LineLoad, *, card: SaleCard) -> None:
    """Writes who may enter a line and when. In a carried line all are absent until they show their old place."""
    redis = gate().redis
    known = card.line_by_id(line.line_id)
    if known is not None:
        rules = {"opens": known.opens_at, "mode": known.mode, "listed": int(known.listed_only)}
        await redis.hset(keys.line(line.line_id), mapping=rules | {"carried": int(line.carried > 0)})
    await _list(keys, line.line_id, line.listed)
    if line.carried:
        await _load_shown(keys, line)


async def _load_shown(keys: SaleKeys, line: LineLoad) -> None:
    """Marks the old numbers that the gate has not seen: present if the books know them as shown, else spent.

    For a number that the gate has seen, its bit `spent` is newer than the books: a person who left or reserved stays
    out. Where Redis has lost its bitmaps, nothing is seen and all is spent. In bits:

        seen  := seen or shown
        spent := spent and not (shown and not seen)
    """
    redis, size = gate().redis, line.carried // 8 + 1
    kept = await redis.mget(keys.seen(line.line_id), keys.spent(line.line_id))
    bitmaps = (kept[0] or b"", kept[1] or b"\xff" * size, line.crowd.seen)
    seen, spent, shown = (int.from_bytes(bitmap.ljust(size, b"\0")) for bitmap in bitmaps)
    present = {keys.seen(line.line_id): seen | shown, keys.spent(line.line_id): spent & ~(shown & ~seen)}
    await redis.mset({key: bits.to_bytes(size) for key, bits in present.items()})
    # A person who reserved had shown the old number, even if the copy in the books is older. Without the bit `seen`,
    # the next look would take the number out of the spent ones.
    await _mark(keys.seen(line.line_id), line.spent)


async def put_on_list(card: SaleCard, *, line: int, digests: Collection[str]) -> None:
    """Writes the digests of a line's list, which can only grow, to the gate. Raises GateDown."""
    keys = SaleKeys(card.campaign, card.sale)
    if await gate().redis.scard(keys.listed(line)) < len(digests):
        await _list(keys, line, digests)


async def _list(keys: SaleKeys, line: int, digests: Iterable[str]) -> None:
    for chunk in _chunks(digests):
        await gate().redis.sadd(keys.listed(line), *chunk)


async def _mark(key: str, bits: Iterable[int]) -> None:
    """Sets bits as SETBIT does, but all in one write. Safe, because no script writes while the sale has no `run`."""
    redis, positions = gate().redis, list(bits)
    if not positions:
        return
    bitmap = bytearray(await redis.get(key) or b"")
    bitmap.extend(bytes(max(0, max(positions) // 8 + 1 - len(bitmap))))
    for bit in positions:
        bitmap[bit // 8] |= 0x80 >> bit % 8
    await redis.set(key, bytes(bitmap))


async def _fill(key: str, fields: Mapping[str, str] | Mapping[str, int] | Mapping[str, bytes]) -> None:
    for chunk in _chunks(fields.items()):
        await gate().redis.hset(key, mapping=dict(chunk))


async def _rank(key: str, scores: Mapping[str, int]) -> None:
    for chunk in _chunks(scores.items()):
        await gate().redis.zadd(key, dict(chunk))


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
