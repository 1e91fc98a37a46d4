"""Fills the gate from the books: at publication, and after the gate lost its memory."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from flashsale.gate.client import gate, wall_ms
from flashsale.gate.keys import SaleKeys
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import SaleCard
from flashsale.gate.sale_cards import show
from flashsale.rules.clock import ClockLease, line_clock

Item = TypeVar("Item")
CHUNK = 1000
_KEPT = ("entered", "called", "lapsed", "left", "gaps")


@dataclass(slots=True)
class LineLoad:
    """A line as the books know it; crowd data that only Redis knows is kept where it is newer."""

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
    # Who was out of the line a moment ago, and their numbers where it is drawn.
    crowd: Crowd = field(default_factory=Crowd)
    absent: list[int] = field(default_factory=list)


@dataclass(slots=True)
class SaleLoad:
    """Everything stock-sized of a sale. Units: id → version, free ones by (line, SKU); `fresh` at publication."""

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
    asked: dict[str, dict[str, Any]]
    holds: dict[str, str]
    due: dict[str, int]
    used_sale: dict[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """What counts against the limits of a campaign, over all its sales: digest (hex) → units, unpaid holds."""

    used: dict[str, int]
    unpaid: dict[str, int]


async def load(sales: Sequence[SaleLoad], counts: Counts | None) -> None:
    """Makes the gate answer for these sales of a campaign; until the last write it refuses. Safe to repeat.

    Without `counts` those that the gate has go on counting, for other sales. Raises GateDown.
    """
    # Of the beginning: a server that restarts while it is being filled has another one, and goes on refusing.
    run_id = await gate().run_id()
    for sale in sales:
        await _load(sale)
    if counts:
        await _count(SaleKeys(sales[0].card.campaign, 0), counts)
    await _open(sales, run_id)


async def _load(sale: SaleLoad) -> None:
    keys, redis = SaleKeys(sale.card.campaign, sale.card.sale), gate().redis
    await redis.hdel(keys.state, "run")
    await _forget_uncommitted(keys, sale)
    free_keys = [keys.free(line.line_id, sku) for line in sale.card.lines for sku in line.skus]
    # What was on its way to another line is free in the books, or has arrived.
    moving = [keys.moving(line.line_id) for line in sale.card.lines]
    await redis.delete(keys.units, keys.asked, keys.holds, keys.due, keys.used_sale, *free_keys, *moving)
    now = await _line_clock(sale)
    for line in sale.lines:
        await _load_rules(keys, line, card=sale.card)
        await _load_line(keys, line, sale=sale, now=now)
    await _fill(keys.units, sale.units)
    await _fill(keys.asked, {key: json.dumps(taken, separators=(",", ":")) for key, taken in sale.asked.items()})
    await _fill(keys.holds, sale.holds)
    await _fill(keys.used_sale, sale.used_sale)
    await _rank(keys.due, sale.due)
    for (number, sku), units in sale.free.items():
        await _rank(keys.free(number, sku), units)
    await show(sale.card)


async def _forget_uncommitted(keys: SaleKeys, sale: SaleLoad) -> None:
    """Whoever was given units that the books never heard of has their place back, to ask again."""
    redis = gate().redis
    known = [key.decode() for key in await redis.hkeys(keys.asked)]
    for chunk in _chunks(key for key in known if key not in sale.asked):
        for taken in await redis.hmget(keys.asked, chunk):
            ask = json.loads(taken)["ask"]
            await redis.setbit(keys.spent(ask["line"]), ask["number"], 0)


async def _count(keys: SaleKeys, counts: Counts) -> None:
    await gate().redis.delete(keys.used_campaign, keys.unpaid)
    await _fill(keys.used_campaign, counts.used)
    await _fill(keys.unpaid, counts.unpaid)


async def _line_clock(sale: SaleLoad) -> int:
    return line_clock(wall=await wall_ms(), opens=sale.card.opens_at, lease=sale.lease, stopped=sale.paused_ms)


async def _open(sales: Sequence[SaleLoad], run_id: str) -> None:
    """The last write: from here on the scripts answer, for all sales at once."""
    pipe = gate().redis.pipeline(transaction=True)
    for sale in sales:
        card = sale.card
        fields: dict[str, str | int] = {
            "run": run_id, "revision": sale.revision, "state": sale.state, "epoch": card.epoch, "lobby": card.lobby_at,
            "opens": card.opens_at, "closes": card.closes_at, "claim": card.claim_ms, "hold": card.hold_ms,
            "paused_ms": sale.paused_ms, "runs_from": sale.lease.since, "runs_until": sale.lease.until,
            "frozen": int(sale.frozen),
        }  # fmt: skip
        pipe.hset(SaleKeys(card.campaign, card.sale).state, mapping=fields)
    await pipe.execute()


async def _load_line(keys: SaleKeys, line: LineLoad, *, sale: SaleLoad, now: int) -> None:
    """What is told before the counters may be told again: a load that was broken off begins from the same ones."""
    redis, key, n = gate().redis, keys.line(line.line_id), line.line_id
    values = await redis.hmget(key, list(_KEPT))
    kept = {name: int(value) for name, value in zip(_KEPT, values, strict=True) if value is not None}
    # Redis may have forgotten its last seconds: indexes go on behind everything that may have been given.
    entered = line.block if line.carried or not sale.fresh else 0
    called = entered if line.direct else max(line.called, kept.get("called", 0))
    lapsed = called if line.direct else max(line.lapsed, kept.get("lapsed", 0))
    fields: dict[str, str | int] = {
        "block": line.block, "held": line.held, "sold": line.sold, "entered": entered, "called": called,
        "lapsed": lapsed, "left": kept.get("left", 0),
    }  # fmt: skip
    if line.cohort is not None:
        fields |= {"cohort": line.cohort, "seed": line.seed}
    if not kept and line.crowd.seen + line.crowd.out:
        await _load_crowd(keys, line)
    await _mark(keys.spent(n), line.spent)
    if not sale.fresh and not line.carried and not line.direct:
        gap = range(max(line.entered, kept.get("entered", 0)) + 1, line.block + 1)
        fields |= {"lost": line.block, "gaps": kept.get("gaps", len(line.crowd.absent())) + len(gap)}
        await _mark_gap(keys, line, gap)
    # Those called before the loss get their whole window again, but for those who had lapsed.
    for last, at in ((lapsed, now - 2 * sale.card.claim_ms), (called, now)):
        if last and not await redis.zrangebyscore(keys.waves(n), last, "+inf"):
            await redis.zadd(keys.waves(n), {f"{last}:{at}": last})
    await redis.hset(key, mapping=fields)


async def _load_crowd(keys: SaleKeys, line: LineLoad) -> None:
    """Who is out of a line of which the gate has kept nothing, as the books knew a moment ago."""
    await gate().redis.set(keys.out(line.line_id), line.crowd.out)
    if not line.carried:
        await gate().redis.set(keys.seen(line.line_id), line.crowd.seen)
    await _mark(keys.spent(line.line_id), line.absent)


async def _mark_gap(keys: SaleKeys, line: LineLoad, gap: range) -> None:
    """Indexes beyond those known to be given are out until their token is seen; most of them were never given."""
    await _mark(keys.out(line.line_id), gap)
    if line.cohort is not None:
        await _mark(keys.spent(line.line_id), gap)


async def _load_rules(keys: SaleKeys, line: LineLoad, *, card: SaleCard) -> None:
    """Who may enter a line, when, and whose numbers it carries over: all absent until they show their old place."""
    redis = gate().redis
    known = card.line_by_id(line.line_id)
    if known is not None:
        rules = {"opens": known.opens_at, "mode": known.mode, "listed": int(known.listed_only)}
        await redis.hset(keys.line(line.line_id), mapping=rules | {"carried": int(line.carried > 0)})
    await _list(keys, line.line_id, line.listed)
    if line.carried:
        await _load_shown(keys, line)


async def _load_shown(keys: SaleKeys, line: LineLoad) -> None:
    """Old numbers that the gate had never seen are present if the books know them as shown, else spent.

    What the gate has kept of the others is newer: who left or reserved stays away.
    """
    redis, size = gate().redis, line.carried // 8 + 1
    kept = await redis.mget(keys.seen(line.line_id), keys.spent(line.line_id))
    bitmaps = (kept[0] or b"", kept[1] or b"\xff" * size, line.crowd.seen)
    seen, spent, shown = (int.from_bytes(bitmap.ljust(size, b"\0")) for bitmap in bitmaps)
    present = {keys.seen(line.line_id): seen | shown, keys.spent(line.line_id): spent & ~(shown & ~seen)}
    await redis.mset({key: bits.to_bytes(size) for key, bits in present.items()})
    # Whoever reserved had shown theirs, even if the books were never told; a look must not give the number back.
    await _mark(keys.seen(line.line_id), line.spent)


async def put_on_list(card: SaleCard, *, line: int, digests: Collection[str]) -> None:
    """Tells the gate who is on a line's list, which can only grow. Raises GateDown."""
    keys = SaleKeys(card.campaign, card.sale)
    if await gate().redis.scard(keys.listed(line)) < len(digests):
        await _list(keys, line, digests)


async def _list(keys: SaleKeys, line: int, digests: Iterable[str]) -> None:
    for chunk in _chunks(digests):
        await gate().redis.sadd(keys.listed(line), *chunk)


async def _mark(key: str, bits: Iterable[int]) -> None:
    """Sets bits as SETBIT does, all in one write: nobody else writes while the sale is closed."""
    redis, wanted = gate().redis, list(bits)
    if not wanted:
        return
    bitmap = bytearray(await redis.get(key) or b"")
    bitmap.extend(bytes(max(0, max(wanted) // 8 + 1 - len(bitmap))))
    for bit in wanted:
        bitmap[bit // 8] |= 0x80 >> bit % 8
    await redis.set(key, bytes(bitmap))


async def _fill(key: str, fields: Mapping[str, str | int]) -> None:
    for chunk in _chunks(fields.items()):
        await gate().redis.hset(key, mapping=dict(chunk))


async def _rank(key: str, scores: Mapping[str, int]) -> None:
    for chunk in _chunks(scores.items()):
        await gate().redis.zadd(key, dict(chunk))


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
