"""Measurements of the gate (Redis) alone: decisions, calls, draws, memory. They run in this process, without HTTP."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from flashsale.gate import bridge, scripts
from flashsale.gate.client import gate
from flashsale.gate.coalesce import BATCH_MAX
from flashsale.gate.held_request import HeldRequest, ReserveRequest
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules import lottery
from flashsale.rules.tokens import Place
from simulation.bench import fixtures
from simulation.bench.figures import Figure, at_least, at_most

DECISIONS = 12_800
INCRS = 200_000
INCRS_AT_ONCE = 1_000
FILL_AT_ONCE = 10_000
WAVE = 50_000
TIMES = 20


def decisions() -> list[Figure]:
    """Decisions in batches of 64 with three hard axes, beside pipelined INCR on the same server."""
    card = fixtures.sale(fixtures.campaign(["gate"]), units={"gate": 3 * DECISIONS})
    stood = bridge.run(fixtures.fill(card, card.lines[0], [fixtures.random_person() for _ in range(3 * DECISIONS)]))
    card = bridge.run(fixtures.open_now(card))
    bridge.run(fixtures.call_all(card, card.lines[0]))
    return bridge.run(_decisions(card, card.lines[0], stood))


async def _decisions(card: SaleCard, line: LineCard, stood: Sequence[Place]) -> list[Figure]:
    requests = [await _request(card, line, place) for place in stood]
    first, second, third = (requests[at * DECISIONS : (at + 1) * DECISIONS] for at in range(3))
    core = DECISIONS / await _cpu_s(lambda: _decide(card, line, first))
    incr = INCRS / await _cpu_s(_count)
    everysec = DECISIONS / await _wall_s(lambda: _decide(card, line, second))
    await gate().redis.config_set("appendfsync", "always")
    always = DECISIONS / await _wall_s(lambda: _decide(card, line, third))
    await gate().redis.config_set("appendfsync", "everysec")
    held = core >= 100_000 or core / incr >= 0.2
    return [
        Figure("gate", "decisions, 3 hard axes, 64 a call", core, "/s and core", "≥ 100,000", held),
        Figure("gate", "pipelined INCR of the same server", incr, "/s and core"),
        Figure("gate", "decisions beside INCR", core / incr, "×", "or ≥ 0.2", held),
        Figure("gate", "decisions for one client, call after call", everysec, "/s", note="its own time included"),
        at_least(
            "gate", "the same with an fsync a call", always / everysec, unit="×", limit=0.5, note=f"{always:,.0f}/s"
        ),
    ]


async def _request(card: SaleCard, line: LineCard, place: Place) -> tuple[ReserveRequest, str]:
    number, seed = await places.number_of(card, line, place.index)
    limit_slots = tuple((axis.value, place.digests[axis].hex()) for axis in fixtures.AXES)
    request = ReserveRequest(
        id=str(uuid.uuid4()), key=f"bench:{place.index}", fingerprint="0" * 64, index=place.index, number=number,
        items=((0, 1),), quantity=1, digests=tuple(digest for _, digest in limit_slots), limit=card.limit,
        sale_limit=card.sale_limit, channel_id=1, line_id=line.line_id, limit_slots=limit_slots,
    )  # fmt: skip
    return request, seed


async def _decide(card: SaleCard, line: LineCard, requests: Sequence[tuple[ReserveRequest, str]]) -> None:
    for start in range(0, len(requests), BATCH_MAX):
        batch = requests[start : start + BATCH_MAX]
        answers = await asyncio.gather(
            *(scripts.reserve(card, line, seed=seed, request=request) for request, seed in batch)
        )
        if not all(isinstance(answer, HeldRequest) for answer in answers):
            raise fixtures.FixtureError(f"reserve: {set(map(str, answers))}")


async def _count() -> None:
    for _ in range(INCRS // INCRS_AT_ONCE):
        pipe = gate().redis.pipeline(transaction=False)
        for at in range(INCRS_AT_ONCE):
            pipe.incr(f"bench:{at}")
        await pipe.execute()


async def _cpu_s(work: Callable[[], Awaitable[None]]) -> float:
    """The CPU seconds that Redis used for some work, as the server counts them."""
    before = await redis_cpu_s()
    await work()
    return await redis_cpu_s() - before


async def redis_cpu_s() -> float:
    """The CPU seconds that the Redis server has used."""
    used = await gate().redis.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


async def _wall_s(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def line(entries: int) -> list[Figure]:
    """The cost of a long line: memory for each shopper, entering on one Redis core, the draw, a wave of any size."""
    card = fixtures.sale(fixtures.campaign(["line"]), units={"line": 1}, max_entries=entries)
    return bridge.run(_line(card, entries))


async def _line(card: SaleCard, entries: int) -> list[Figure]:
    where = card.lines[0]
    bytes_each, cpu = await fill_line(card, where, entries)
    began = time.perf_counter()
    card = await fixtures.open_now(card)
    drawn_ms = (time.perf_counter() - began) * 1e3
    freeze_ms = median([await _wall_s(lambda: _wait_for(scripts.freeze(card))) * 1e3 for _ in range(TIMES)])
    group, people = "line", f"{entries:,} waiting"
    return [
        at_most(
            group,
            "Redis memory a shopper, 3 axes",
            bytes_each,
            unit="bytes",
            limit=100,
            note=people,
            cost="shopper_bytes",
        ),
        Figure(group, "enter, Redis alone", entries / cpu, "/s and core", note="one script call each"),
        at_most(group, "fixing the cohorts (freeze.lua)", freeze_ms, unit="ms", limit=1, note=f"round trip, {people}"),
        Figure(group, "the whole draw, committed in the books", drawn_ms, "ms", note=people),
        Figure(group, "number of a place", _number_us(entries), "µs", note="computed by the caller"),
        *await _waves(card, where, entries),
    ]


async def fill_line(card: SaleCard, where: LineCard, people: int) -> tuple[float, float]:
    """Lets random people enter. Returns the bytes of Redis for each of them, and the CPU seconds that Redis used."""
    before, cpu = await _memory(), await redis_cpu_s()
    for start in range(0, people, FILL_AT_ONCE):
        await fixtures.fill(card, where, [fixtures.random_person() for _ in range(min(FILL_AT_ONCE, people - start))])
    return (await _memory() - before) / people, await redis_cpu_s() - cpu


async def _memory() -> int:
    return int((await gate().redis.info("memory"))["used_memory"])


async def _wait_for(call: Awaitable[object]) -> None:
    await call


def _number_us(cohort: int) -> float:
    seed, began = b"s" * 32, time.perf_counter()
    for index in range(1, 2001):
        lottery.number(index, cohort, seed)
    return (time.perf_counter() - began) / 2000 * 1e6


async def _waves(card: SaleCard, where: LineCard, entries: int) -> list[Figure]:
    wave = min(WAVE, entries // 2)
    one = median([await _wave_ms(card, where, 1) for _ in range(TIMES)])
    many = await _wave_ms(card, where, wave)
    return [
        at_most("line", "calling a wave of 1", one, unit="ms", limit=1, note="round trip, median of 20"),
        at_most("line", f"calling a wave of {wave:,}", many, unit="ms", limit=1, note="round trip, once"),
    ]


async def _wave_ms(card: SaleCard, where: LineCard, people: int) -> float:
    figures = await fixtures.survey(card, where)
    began = time.perf_counter()
    called = await scripts.call(card, where, seed=figures.seed, called=figures.called, people=people)
    spent_ms = (time.perf_counter() - began) * 1e3
    if called != figures.called + people:
        raise fixtures.FixtureError(f"call: {called}")
    return spent_ms
