"""Measures a whole sale: all people enter, the line is drawn and called, and nine of ten called people buy and pay."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
import orjson

from flashsale.gate import bridge, scripts
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.audit import Verdict, audit
from flashsale.rules import lottery
from simulation.bench import doors, fixtures, load
from simulation.bench.doors import Server
from simulation.bench.figures import Figure, at_most
from simulation.isolated_servers import IsolatedServers
from simulation.servers import HOST

ENTRIES_PER_UNIT = 20
SHOW_UP = 0.9
CLAIM_S, HOLD_S = 20, 30
# Two cores serve at most about so many buyers a second, with their payments. If the line called people faster, their
# claim windows would end before they are served.
RATE_PER_S = 200
ENTER_TOGETHER = 50_000
BUYERS_AT_ONCE = 48
POLL_EVERY_S = 0.5
PATIENCE_S = 1800


@dataclass(slots=True)
class Crowd:
    """The people who have entered. `places` has, by index, the number of the prepared person and the place token."""

    card: SaleCard
    line: LineCard
    key: str
    seed: str = ""
    places: dict[int, tuple[int, str]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def bearer(self) -> dict[str, str]:
        """The header that authenticates the partner."""
        return {"Authorization": f"Bearer {self.key}"}


def sale(servers: IsolatedServers, entries: int, show_progress: Callable[[str], None]) -> list[Figure]:
    """Runs a sale with one unit per 20 people, from the first entry to the last payment; then audits every promise."""
    units = max(1, entries // ENTRIES_PER_UNIT)
    where = fixtures.campaign(["whole"])
    card = fixtures.sale(
        where, units={"whole": units}, max_entries=entries, claim_s=CLAIM_S, hold_s=HOLD_S, rate_per_s=RATE_PER_S
    )
    crowd = Crowd(card, card.lines[0], fixtures.key_of(where, "whole"))
    with doors.doors(servers) as door:
        began = time.perf_counter()
        _enter(door, crowd, entries, show_progress)
        entered_s = time.perf_counter() - began
        drawn = bridge.run(fixtures.open_now(card))
        crowd.seed = bridge.run(fixtures.survey(drawn, drawn.lines[0])).seed
        asyncio.run(_sell(door, crowd, show_progress))
        whole_s = time.perf_counter() - began
    end = bridge.run(_final_counters(card))
    broken = [finding for finding in audit(campaign=card.campaign_code) if finding.verdict is Verdict.BROKEN]
    wrong = {
        answer: count for answer, count in crowd.answers.items() if answer not in {"enter 201", "bought", "lapsed"}
    }
    sold_s = whole_s - entered_s
    group, of = f"a sale of {units:,} units to {entries:,} people", f"{end.sold:,} of {units:,} sold"
    return [
        at_most(group, "from the first entry to the last payment", whole_s / 60, unit="min", limit=10, note=of),
        Figure(group, "entered", len(crowd.places) / entered_s, "/s", note=f"{len(crowd.places):,} people"),
        Figure(group, "bought and paid", end.sold / sold_s, "/s", note=f"other answers: {wrong or 'none'}"),
        at_most(group, "promises broken", len(broken), unit="", limit=0, note=", ".join(one.title for one in broken)),
    ]


def _enter(door: Server, crowd: Crowd, entries: int, show_progress: Callable[[str], None]) -> None:
    for start in range(0, entries, ENTER_TOGETHER):
        most = min(ENTER_TOGETHER, entries - start)
        requests = doors.enters(crowd.card, crowd.line, crowd.key, most=most, first=start)
        load_result = load.send(port=door.port, requests=requests, seconds=load.SECONDS_MAX, keep=True)
        crowd.answers.update({f"enter {status}": count for status, count in load_result.answers.items()})
        for number, body in load_result.bodies.items():
            answer = orjson.loads(body)
            if "index" in answer:
                crowd.places[answer["index"]] = (start + number, answer["place"])
        show_progress(f"{len(crowd.places):,} people have entered ...")


async def _sell(door: Server, crowd: Crowd, show_progress: Callable[[str], None]) -> None:
    """Lets each called person who comes buy one unit, until all units are sold."""
    seed, chance = bytes.fromhex(crowd.seed), random.Random(1)
    path = f"http://{HOST}:{door.port}{doors.path_of(crowd.card, crowd.line, 'status')}"
    called, shown_at, until = 0, 0.0, time.monotonic() + PATIENCE_S
    waiting: asyncio.Queue[int] = asyncio.Queue()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2 * BUYERS_AT_ONCE)) as http:
        buyers = [asyncio.create_task(_buy_all(http, door, crowd, waiting)) for _ in range(BUYERS_AT_ONCE)]
        while time.monotonic() < until:
            async with http.get(path) as answer:
                status = await answer.json()
            for number in range(called + 1, status["called"] + 1):
                index = lottery.index_of(number, status["cohort"], seed)
                if index in crowd.places and chance.random() < SHOW_UP:
                    waiting.put_nowait(index)
            called = status["called"]
            left = status["free"] + status["held"]
            if called and (not left or (called >= status["entered"] and waiting.empty() and not status["held"])):
                break
            if time.monotonic() > shown_at + 10:
                shown_at = time.monotonic()
                show_progress(f"{called:,} called, {status['sold']:,} sold, {left:,} left ...")
            await asyncio.sleep(POLL_EVERY_S)
        for buyer in buyers:
            buyer.cancel()
        await asyncio.gather(*buyers, return_exceptions=True)


async def _buy_all(http: aiohttp.ClientSession, door: Server, crowd: Crowd, waiting: "asyncio.Queue[int]") -> None:
    while True:
        index = await waiting.get()
        crowd.answers[await _buy(http, door, crowd, index)] += 1


async def _buy(http: aiohttp.ClientSession, door: Server, crowd: Crowd, index: int) -> str:
    """Buys for one person. Returns `bought`, `lapsed` (the person came too late), or another answer."""
    number, token = crowd.places[index]
    headers = crowd.bearer | {"Idempotency-Key": f"whole-{index}"}
    reserve = f"http://{HOST}:{door.port}{doors.path_of(crowd.card, crowd.line, 'reserve')}"
    body = {"place": token, "items": [{"sku": fixtures.SKU, "quantity": 1}]}
    status, held = await _send(http, reserve, headers, body)
    if status != 201:
        return "lapsed" if held.get("code") == "lapsed" else f"reserve {held.get('code')}"
    identity = doors.identity(number)
    contact = {"name": "B", "address": "Jl. Mawar 1", "phone": identity["phone"], "email": identity["email"]}
    pay = {
        "identity": identity,
        "contact": contact,
        "price": held["amount"],
        "method": "card",
        "instrument": f"i-{index}",
    }
    confirm = f"http://{HOST}:{door.port}/v1/reservations/{held['reservation']}/confirm"
    status, paid = await _send(http, confirm, headers | {"Idempotency-Key": f"pay-{index}"}, pay)
    return "bought" if status == 200 else f"confirm {paid.get('code')}"


async def _send(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str], body: Mapping[str, object]
) -> tuple[int, dict[str, object]]:
    """Sends a request and returns status and body. Repeats it after Retry-After while the status is 429 or 503."""
    while True:
        async with http.post(url, json=body, headers=headers) as answer:
            result = json.loads(await answer.read())
            if answer.status not in {429, 503}:
                return answer.status, result
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))


async def _final_counters(card: SaleCard) -> Survey:
    figures = await scripts.survey(card, card.lines[0])
    if not isinstance(figures, Survey):
        raise fixtures.FixtureError(f"survey: {figures}")
    return figures
