"""Sends a crowd to a sale of a running server, and waits until all people are done."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulation.behaviour import Delays, Participant, Result, attend
from simulation.client import HttpClient
from simulation.journal import Journal
from simulation.line_watcher import LineWatchers
from simulation.outbox import Outbox
from simulation.people import Person
from simulation.shopper import PageShopper, PartnerShopper, Shopper
from simulation.wallets import Wallets


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdConfig:
    """Where and how a crowd goes: a server, a sale, and its lines.

    `lines` has the code of the line by channel, or by the code of a person who goes to another line. A person whose
    channel has a key in `keys` goes through that partner, all others through our page. `old_shoppers` are the shoppers
    of an earlier sale who still have their places, by the code of the person. `refills_until` is the time (ms) until
    which a line may still get units of another line. `wallets` pay at gateways; without them, the demo's bank does.
    """

    url: str
    sale: str
    lines: Mapping[str, str]
    keys: Mapping[str, str]
    outbox: Outbox
    delays: Delays
    seed: int = 0
    old_shoppers: Mapping[str, Shopper] = field(default_factory=dict)
    refills_until: Mapping[str, int] = field(default_factory=dict)
    wallets: Wallets | None = None


@dataclass(frozen=True, slots=True)
class Attendance:
    """All people of one crowd and their results in one sale."""

    participants: list[Participant]

    def result_counts(self) -> Counter[str]:
        """The number of people by result."""
        return Counter(participant.result.value for participant in self.participants)

    def unexpected(self) -> Counter[str]:
        """Counts the answers that the simulation does not expect, by kind of person and refusal."""
        return Counter(
            f"{participant.kind}: {participant.refusal}"
            for participant in self.participants
            if participant.result is Result.FAILED
        )


def run(
    *,
    config: CrowdConfig,
    people: Sequence[Person],
    journal: Journal,
    seconds: float,
    stop: threading.Event | None = None,
) -> Attendance:
    """Sends the crowd to the sale. Call it from a thread without an event loop.

    All people stop after `seconds`, or as soon as `stop` is set.
    """
    stop_event = stop or threading.Event()
    return asyncio.run(attend_all(config=config, people=people, journal=journal, seconds=seconds, stop=stop_event))


async def attend_all(
    *, config: CrowdConfig, people: Sequence[Person], journal: Journal, seconds: float, stop: threading.Event
) -> Attendance:
    """The same as `run`, for callers in an event loop."""
    async with HttpClient(url=config.url, journal=journal) as http:
        lines = sorted(set(config.lines.values()))
        async with LineWatchers(
            http=http, sale=config.sale, lines=lines, refills_until=config.refills_until
        ) as watchers:
            participants = [_participant(config, http, watchers, person) for person in people]
            tasks = [asyncio.create_task(attend(participant)) for participant in participants]
            await _until(tasks, seconds, stop)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _raise_first(tasks)
    return Attendance(participants)


async def _until(tasks: Sequence[asyncio.Task[Participant]], seconds: float, stop: threading.Event) -> None:
    """Waits until all tasks are done, the time is over, or `stop` is set."""
    ends = time.monotonic() + seconds
    waiting = set(tasks)
    while waiting and not stop.is_set() and time.monotonic() < ends:
        _, waiting = await asyncio.wait(waiting, timeout=min(0.5, max(0.0, ends - time.monotonic())))


def _raise_first(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error


def _participant(config: CrowdConfig, http: HttpClient, watchers: LineWatchers, person: Person) -> Participant:
    line = config.lines.get(person.code) or config.lines[person.channel]

    def make_alias(number: int) -> Participant | None:
        """The same person under another name, at the next partner in turn."""
        partners = [channel for channel in config.lines if channel in config.keys]
        if not partners:
            return None
        return _participant(config, http, watchers, person.alias(number, partners[number % len(partners)]))

    return Participant(
        shopper=_shopper(config, http, person, line),
        watcher=watchers.by_line[line],
        delays=config.delays,
        rng=random.Random(f"{config.seed}/{config.sale}/{person.code}"),
        make_alias=make_alias,
    )


def _shopper(config: CrowdConfig, http: HttpClient, person: Person, line: str) -> Shopper:
    key = config.keys.get(person.channel)
    common: dict[str, Any] = {
        "http": http,
        "person": person,
        "sale": config.sale,
        "line": line,
        "old_shopper": config.old_shoppers.get(person.code),
        "wallets": config.wallets,
    }
    return PageShopper(outbox=config.outbox, **common) if key is None else PartnerShopper(key=key, **common)
