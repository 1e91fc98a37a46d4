"""Brings a crowd to a sale that a server runs, and waits until everybody has gone home."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulation.behaviour import End, Tempo, Visit, attend
from simulation.client import Http
from simulation.journal import Journal
from simulation.outbox import Outbox
from simulation.people import Person
from simulation.shopper import PageShopper, PartnerShopper, Shopper
from simulation.watch import Watches


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a crowd goes: a server, a sale, its lines by channel (or by the code of somebody who goes elsewhere);
    partners by their keys, others through the page.

    `kept` are the places that people have from an earlier sale, by their codes; `fed_until` is until when (ms) a line
    may still get units of another one.
    """

    url: str
    sale: str
    lines: Mapping[str, str]
    keys: Mapping[str, str]
    outbox: Outbox
    tempo: Tempo
    seed: int = 0
    kept: Mapping[str, Shopper] = field(default_factory=dict)
    fed_until: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attendance:
    """Everybody's way through one sale."""

    visits: list[Visit]

    def ends(self) -> Counter[str]:
        """How many ended how."""
        return Counter(visit.end.value for visit in self.visits)

    def unexpected(self) -> Counter[str]:
        """The answers that nobody should have got, counted."""
        return Counter(f"{visit.kind}: {visit.why}" for visit in self.visits if visit.end is End.FAILED)


def run(
    *,
    scene: Scene,
    people: Sequence[Person],
    journal: Journal,
    seconds: float,
    stop: threading.Event | None = None,
) -> Attendance:
    """Let the crowd attend, from a thread without an event loop; who is still there after `seconds` goes home.

    Everybody goes home as soon as `stop` is set.
    """
    told = stop or threading.Event()
    return asyncio.run(attend_all(scene=scene, people=people, journal=journal, seconds=seconds, stop=told))


async def attend_all(
    *, scene: Scene, people: Sequence[Person], journal: Journal, seconds: float, stop: threading.Event
) -> Attendance:
    """The same, from an event loop."""
    async with Http(url=scene.url, journal=journal) as http:
        lines = sorted(set(scene.lines.values()))
        async with Watches(http=http, sale=scene.sale, lines=lines, fed_until=scene.fed_until) as watches:
            visits = [_visit(scene, http, watches, person) for person in people]
            tasks = [asyncio.create_task(attend(visit)) for visit in visits]
            await _until(tasks, seconds, stop)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _raise_first(tasks)
    return Attendance(visits)


async def _until(tasks: Sequence[asyncio.Task[Visit]], seconds: float, stop: threading.Event) -> None:
    """Until all are done, the time is over, or somebody says stop."""
    ends = time.monotonic() + seconds
    waiting = set(tasks)
    while waiting and not stop.is_set() and time.monotonic() < ends:
        _, waiting = await asyncio.wait(waiting, timeout=min(0.5, max(0.0, ends - time.monotonic())))


def _raise_first(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error


def _visit(scene: Scene, http: Http, watches: Watches, person: Person) -> Visit:
    line = scene.lines.get(person.code) or scene.lines[person.channel]

    def more(number: int) -> Visit | None:
        """The same person under another name: at the same channel, and at the other partners'."""
        partners = [channel for channel in scene.lines if channel in scene.keys]
        if not partners:
            return None
        return _visit(scene, http, watches, person.alias(number, partners[number % len(partners)]))

    return Visit(
        shopper=_shopper(scene, http, person, line),
        watch=watches.by_line[line],
        tempo=scene.tempo,
        luck=random.Random(f"{scene.seed}/{scene.sale}/{person.code}"),
        more=more,
    )


def _shopper(scene: Scene, http: Http, person: Person, line: str) -> Shopper:
    key, old = scene.keys.get(person.channel), scene.kept.get(person.code)
    if key is None:
        return PageShopper(http=http, person=person, sale=scene.sale, line=line, outbox=scene.outbox, old=old)
    return PartnerShopper(http=http, person=person, sale=scene.sale, line=line, key=key, old=old)
