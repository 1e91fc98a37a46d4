"""Measures polls by distance: how many requests a waiting crowd sends, and how late people hear of their calls.

The crowd lives in simulated time, because no load generator of this machine can send what a quarter of a million phones
send. It follows the rule of the page (flashsale/rules/polling.py), and its lines call people as ticks do. Bundles of
partners are measured at the door.
"""

import heapq
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from flashsale.gate import bridge
from flashsale.gate.sale_card import SaleCard
from flashsale.rules import polling
from flashsale.rules.polling import Status
from simulation.bench import doors, fixtures
from simulation.bench.figures import Figure, at_least, at_most
from simulation.isolated_servers import IsolatedServers

LINES = 4
SALE_MS, TICK_MS = 300_000, 250
# Per line: with four lines, 50,000 units are called in five minutes.
RATE_PER_S = 170
CLAIMS_MS = (20_000, 300_000)
# What the page did before: everybody every two seconds.
FIXED_MS = 2000
BUNDLE = 100
BUNDLED = 40_000
SECONDS = 30.0


@dataclass(slots=True)
class Result:
    """What a crowd has sent, by second after the opening, and how late people heard of their calls (ms)."""

    by_second: list[int] = field(default_factory=lambda: [0] * (SALE_MS // 1000 + 1))
    delays: list[int] = field(default_factory=list)


def polls(servers: IsolatedServers, people: int, show_progress: Callable[[str], None]) -> list[Figure]:
    """Lets a crowd wait in four lines for five minutes, and lets a partner enter people alone and in bundles."""
    figures: list[Figure] = []
    for claim_ms in CLAIMS_MS:
        result = Result()
        for line in range(LINES):
            _wait_in_line(result, people // LINES, claim_ms, random.Random(line))
        show_progress(f"a claim window of {claim_ms // 1000} s is simulated ...")
        figures += _figures(result, people, claim_ms)
    return figures + _bundles(servers)


def _figures(result: Result, people: int, claim_ms: int) -> list[Figure]:
    group = f"{people:,} people wait in {LINES} lines, claim window {claim_ms // 1000} s"
    calm = result.by_second[60:-1]
    mean, fixed = sum(calm) / len(calm), people * 1000 / FIXED_MS
    note = (
        f"every {FIXED_MS / 1000:.0f} s: {fixed:,.0f}/s; most in a second after the opening: {max(result.by_second):,}"
    )
    return [
        Figure(group, "status requests", mean, "/s", note=note),
        at_least(group, "fewer than with a fixed interval", fixed / mean, unit="×", limit=5),
        at_most(
            group, "latest hearing of a call, of the claim window", max(result.delays) / claim_ms, unit="", limit=0.1,
            note=f"{len(result.delays):,} calls",
        ),
    ]  # fmt: skip


def _wait_in_line(result: Result, people: int, claim_ms: int, chance: random.Random) -> None:
    """Simulates a line from its opening (0 ms) on. All people entered before it, and polled at some time before it."""
    pace = polling.pace(RATE_PER_S)
    first_call = polling.first_call_delay_ms(people=people, claim_ms=claim_ms)
    times = list(range(first_call, SALE_MS, TICK_MS))
    marks = [min(people, RATE_PER_S * (at - first_call + 1000) // 1000) for at in times]
    status = Status(
        opens_at=0, entered=people, called=0, claim_ms=claim_ms, pace=pace,
        poll_ms=polling.poll_ms(people=people, is_soon=True),
    )  # fmt: skip
    before = [
        (polling.next_poll_ms(status, now=-1, number=None, waiting=True, random=chance.random()), number)
        for number in range(1, people + 1)
    ]
    heapq.heapify(before)
    while before and before[0][0] < SALE_MS:
        at, number = before[0]
        result.by_second[at // 1000] += 1
        made = at - chance.randint(0, polling.STALE_MS)
        called = marks[bisect_right(times, made) - 1] if made >= first_call else 0
        if called >= number:
            heapq.heappop(before)
            result.delays.append(at - times[_first_at_least(marks, number)])
            continue
        seen = replace(status, called=called)
        wait = polling.next_poll_ms(seen, now=made, number=number, waiting=True, random=chance.random())
        heapq.heapreplace(before, (at + wait, number))


def _first_at_least(marks: list[int], number: int) -> int:
    return bisect_right(marks, number - 1)


def _bundles(servers: IsolatedServers) -> list[Figure]:
    """CPU of door and Redis for a person who enters in a bundle, relative to one who enters alone."""
    where = fixtures.campaign(["alone", "bundled"])
    card = fixtures.sale(where, units={"alone": 1, "bundled": 1}, max_entries=1_000_000)
    alone, bundled = (fixtures.line_of(card, code) for code in ("alone", "bundled"))
    single = doors.enters(card, alone, fixtures.key_of(where, "alone"), most=BUNDLED)
    key = fixtures.key_of(where, "bundled")
    together = [_bundle(card, key, start) for start in range(BUNDLED, 2 * BUNDLED, BUNDLE)]
    with doors.doors(servers) as door:
        one = door.cost(single, seconds=SECONDS, expect=201)
        many = door.cost(together, seconds=SECONDS, expect=200)
    micros = many.micros / BUNDLE
    note = f"alone {one.micros:.0f} µs, {one.rate:,.0f}/s; in bundles {micros:.0f} µs, {many.rate * BUNDLE:,.0f}/s"
    group = f"entering in bundles of {BUNDLE}"
    entered = bridge.run(fixtures.survey(card, bundled)).entered
    return [
        at_most(group, "CPU relative to people who enter alone", micros / one.micros, unit="×", limit=0.7, note=note),
        at_least(group, "people who have entered", entered, unit="", limit=BUNDLED, note=f"of {BUNDLED:,}"),
    ]


def _bundle(card: SaleCard, key: str, start: int) -> bytes:
    items = [{"identity": doors.identity(number)} for number in range(start, start + BUNDLE)]
    return doors.post(doors.path_of(card, fixtures.line_of(card, "bundled"), "enter-bundle"), key, {"items": items})
