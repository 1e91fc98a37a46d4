"""Reads what the gate (Redis) offers, counts and remembers, mostly for an audit. Writes nothing; reads in chunks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from flashsale.gate import scripts
from flashsale.gate.client import GateDown, gate
from flashsale.gate.keys import SaleKeys, entered_field
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.gate.scripts import keys_of
from flashsale.gate.server import Server

CHUNK = 500
# Of the memory that Redis may use. Beyond all of it, it refuses writes.
MEMORY_SHARE = 0.9
# A packed place is (index * RETURNS + times returned) * LINES + line id, as prelude.lua explains.
LINES = 256
RETURNS = 4


async def offered_units(card: SaleCard, line: LineCard) -> dict[int, int]:
    """Unit id → version of every unit that the gate may give out. Raises GateDown."""
    units = {}
    for sku in line.skus:
        units.update(await gate().redis.zrange(keys_of(card).free(line.line_id, sku), 0, -1, withscores=True))
    return {int(unit): int(version) for unit, version in units.items()}


async def count_moving_units(card: SaleCard, line: LineCard) -> int:
    """How many units are on their way to the line's successor. Raises GateDown."""
    return int(await gate().redis.zcard(keys_of(card).moving(line.line_id)))


async def offered_among(card: SaleCard, line: LineCard, units: Iterable[int]) -> dict[int, int]:
    """As :func:`offered_units`, for those of these units that the gate offers. Raises GateDown."""
    found: dict[int, int] = {}
    wanted = list(units)
    for sku in line.skus:
        for start in range(0, len(wanted), CHUNK):
            some = wanted[start : start + CHUNK]
            versions = await gate().redis.zmscore(keys_of(card).free(line.line_id, sku), some)
            found |= {unit: int(version) for unit, version in zip(some, versions, strict=True) if version is not None}
    return found


async def used_limits(card: SaleCard, digests: Sequence[str] | None = None) -> dict[str, int]:
    """Digest (hex) → units that the gate counts against the campaign's limit; of all or of these. Raises GateDown."""
    if digests is not None:
        found: dict[str, int] = {}
        for start in range(0, len(digests), CHUNK):
            some = digests[start : start + CHUNK]
            values = await gate().redis.hmget(keys_of(card).used_campaign, some)
            found |= {digest: int(count) for digest, count in zip(some, values, strict=True) if count is not None}
        return found
    counts = await gate().redis.hgetall(keys_of(card).used_campaign)
    return {digest.decode(): int(count) for digest, count in counts.items()}


async def counters(card: SaleCard, line: LineCard) -> dict[str, int]:
    """The counters of a line: entered, called, held, sold. Raises GateDown."""
    names = ["entered", "called", "held", "sold"]
    values = await gate().redis.hmget(keys_of(card).line(line.line_id), names)
    return {name: int(value or 0) for name, value in zip(names, values, strict=True)}


async def refusals(card: SaleCard) -> dict[str, int]:
    """How often a verb was refused with a word, by "verb word". Raises GateDown."""
    found = await gate().redis.hgetall(keys_of(card).refused)
    return {word.decode(): int(times) for word, times in found.items()}


async def unclaimed(card: SaleCard, line: LineCard, *, called: int) -> int:
    """How many of the numbers up to `called` neither reserved nor left the line. Raises GateDown."""
    # Bit n stands for number n, the highest bit of a byte first. The shift cuts off the bits after `called`.
    spent = await gate().redis.getrange(keys_of(card).spent(line.line_id), 0, called // 8)
    bits = int.from_bytes(spent.ljust(called // 8 + 1, b"\0")) >> (7 - called % 8)
    return called - (bits & ((1 << called) - 1)).bit_count()


async def turns_used(card: SaleCard, line: LineCard, *, called: int) -> int:
    """How many of the numbers up to `called` reserved, left the line or belong to no person. Raises GateDown."""
    spent, whole = keys_of(card).spent(line.line_id), (called + 1) // 8
    # Bit n stands for number n, the highest bit of a byte first. The last byte may have bits beyond `called`.
    last = await gate().run_command("GETRANGE", spent, whole, whole)
    rest = (last or b"\0")[0] >> (8 - (called + 1) % 8)
    return rest.bit_count() + (int(await gate().run_command("BITCOUNT", spent, 0, whole - 1)) if whole else 0)


async def waves(card: SaleCard, line: LineCard) -> list[tuple[int, int]]:
    """When people were called: (last number, ms on the line's clock), in order. Raises GateDown."""
    found = await gate().redis.zrange(keys_of(card).waves(line.line_id), 0, -1)
    pairs = (wave.decode().split(":") for wave in found)
    return [(int(last), int(at)) for last, at in pairs]


async def still_held(card: SaleCard, reservations: Sequence[str]) -> list[str]:
    """The reservations among these whose units the gate still counts as taken. Raises GateDown."""
    found: list[str] = []
    for start in range(0, len(reservations), CHUNK):
        some = reservations[start : start + CHUNK]
        keys = await gate().redis.hmget(keys_of(card).holds, some)
        found += [id_ for id_, key in zip(some, keys, strict=True) if key is not None]
    return found


async def still_due(card: SaleCard, reservations: Sequence[str]) -> list[str]:
    """The reservations among these that the gate counts as held, so that they come due. Raises GateDown."""
    found: list[str] = []
    for start in range(0, len(reservations), CHUNK):
        some = reservations[start : start + CHUNK]
        scores = await gate().redis.zmscore(keys_of(card).due, some)
        found += [id_ for id_, score in zip(some, scores, strict=True) if score is not None]
    return found


async def holds_by_deadline(card: SaleCard, *, most: int) -> dict[str, int]:
    """Reservation id → deadline (ms on the line's clock) of what is held, the earliest first. Raises GateDown."""
    found = await gate().redis.zrange(keys_of(card).due, 0, most - 1, withscores=True)
    return {id_.decode(): int(deadline) for id_, deadline in found}


async def list_size(card: SaleCard, line: int) -> int:
    """How many people are on a line's list. Raises GateDown."""
    return int(await gate().redis.scard(keys_of(card).listed(line)))


async def revision(card: SaleCard) -> int | None:
    """The revision of the last decision that the gate has applied to the sale; None when it does not have the sale."""
    applied = await gate().redis.hget(keys_of(card).state, "revision")
    return None if applied is None else int(applied)


async def revisions(sales: Sequence[tuple[int, int]]) -> list[int | None]:
    """As :func:`revision`, for many sales (campaign id, sale id) at once. Raises GateDown."""
    applied = await _all("HGET", [(SaleKeys(*sale).state, "revision") for sale in sales])
    return [None if value is None else int(value) for value in applied]


async def known_sales(sales: Sequence[tuple[int, int]]) -> list[bool]:
    """Of each sale (campaign id, sale id), whether the gate's scripts answer for it. Raises GateDown."""
    known = await asked_sales(sales)
    for answer in known:
        if isinstance(answer, GateDown):
            raise answer
    return [answer is True for answer in known]


async def asked_sales(sales: Sequence[tuple[int, int]]) -> list[bool | GateDown]:
    """As :func:`known_sales`. Has the error for a sale whose server does not answer; others of the cluster may."""
    known: list[bool | GateDown] = []
    for start in range(0, len(sales), CHUNK):
        known += await asyncio.gather(*(_asked(*sale) for sale in sales[start : start + CHUNK]))
    return known


async def _asked(campaign: int, sale: int) -> bool | GateDown:
    try:
        return await scripts.answers(campaign, sale)
    except GateDown as error:
        return error


async def count_offered(offers: Sequence[tuple[tuple[int, int], int, str]]) -> list[int]:
    """How many units each offer has that may be taken: (sale, line id, SKU). Raises GateDown."""
    return [int(n) for n in await _all("ZCARD", [(SaleKeys(*sale).free(line, sku),) for sale, line, sku in offers])]


async def count_listed(lines: Sequence[tuple[tuple[int, int], int]]) -> list[int]:
    """How many people are on the list of each line: (sale, line id). Raises GateDown."""
    return [int(count) for count in await _all("SCARD", [(SaleKeys(*sale).listed(line),) for sale, line in lines])]


async def entries_of_channel(card: SaleCard, lines: Sequence[LineCard], channel: int) -> list[int]:
    """How many new places a channel (an id) has taken in each of these lines. Raises GateDown."""
    keys = keys_of(card)
    found = await _all("HGET", [(keys.line(line.line_id), entered_field(channel)) for line in lines])
    return [int(count or 0) for count in found]


async def _all(command: str, calls: Sequence[tuple[str, ...]]) -> list[Any]:
    """The replies to one command with many arguments. Sent together on the shared link, whose replies are short."""
    replies: list[Any] = []
    for start in range(0, len(calls), CHUNK):
        some = calls[start : start + CHUNK]
        replies += await asyncio.gather(*(gate().run_command(command, *arguments) for arguments in some))
    return replies


async def has_sale(card: SaleCard) -> bool:
    """Whether the gate has this sale. Raises GateDown."""
    return bool(await gate().redis.exists(keys_of(card).state))


async def places(card: SaleCard) -> Counter[tuple[int, int]]:
    """How many digests lead to each place, by (line id, index). Raises GateDown."""
    found: Counter[tuple[int, int]] = Counter()
    async for packed in _packed_places(card):
        found[packed % LINES, packed // LINES // RETURNS] += 1
    return found


async def _packed_places(card: SaleCard) -> AsyncIterator[int]:
    for start in range(0, card.buckets, CHUNK):
        # In pipelines, because sixty thousand single round trips would take minutes.
        pipe = gate().redis.pipeline(transaction=False)
        for key in keys_of(card).buckets(range(start, min(start + CHUNK, card.buckets))):
            pipe.hvals(key)
        for values in await pipe.execute():
            for value in values:
                # Negative where only a partner says that the digest is the person's.
                yield abs(int(value))


async def server_trouble() -> list[str]:
    """What the server of Redis says about trouble with its disk or memory, in its own words. Raises GateDown."""
    return [fault for server in await gate().servers() for fault in await _trouble_of(server)]


async def _trouble_of(server: Server) -> list[str]:
    found = await server.redis.info()
    faults = [
        f"{name} {found[name]}"
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if found.get(name, "ok") != "ok"
    ]
    most, used = int(found.get("maxmemory", 0)), int(found.get("used_memory", 0))
    if most and used > MEMORY_SHARE * most:
        faults.append(f"used_memory {100 * used // most} % of maxmemory")
    return faults
