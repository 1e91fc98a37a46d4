"""Sends webhooks over real sockets, repeats them by the gateway's schedule, and applies the faults of webhooks.

Webhooks of one reference leave in their order, one after the other, unless a fault says otherwise.
"""

import asyncio
import base64
import copy
import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp

from simulation.gateways.clock import Agenda
from simulation.gateways.faults import Fault, Faults, Operation

KEPT_MAX = 10_000
AT_ONCE = 50
HOPS_MAX = 5
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Schedule(NamedTuple):
    """When a gateway repeats. `repeats` maps an HTTP status (0: no answer) to how many repeats it allows; 0: taken."""

    delays: Sequence[timedelta]
    repeats: Callable[[int], int]
    timeout_s: float


@dataclass
class Webhook:
    """One webhook and the status of each try so far; 0 is no answer."""

    number: int
    reference: str
    event: str
    url: str
    body: bytes
    headers: Mapping[str, str]
    answers: list[int] = field(default_factory=list)
    waiting: bool = False

    def json(self) -> dict[str, Any]:
        """As the control port says it."""
        body = base64.b64encode(self.body).decode()
        return {**self.__dict__, "headers": dict(self.headers), "body": body}


def check_address(url: str, *, anywhere: bool = False) -> str:
    """The address, if it is one of this machine, or of any with `anywhere`. Raises ValueError."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        fine = fine and (anywhere or parts.hostname in LOOPBACK)
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"Webhooks cannot go to {url[:200]!r}: only http(s) addresses of this machine are called.")
    return url


def is_here(url: str) -> bool:
    """Whether an address is one of this machine. Webhooks for others are kept and never sent."""
    return bool(url) and urlsplit(url).hostname in LOOPBACK


def altered(document: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a JSON object with some fields replaced. A dot leads into an object: `data.status`."""
    changed = copy.deepcopy(dict(document))
    for name, value in fields.items():
        at = changed
        *path, last = name.split(".")
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return changed


def numbers_as_strings(value: Any) -> Any:
    """A copy of a JSON value in which each number is a string."""
    if isinstance(value, dict):
        return {name: numbers_as_strings(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [numbers_as_strings(inner) for inner in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Post:
    """The webhooks of one gateway. `scale` shortens the schedule."""

    def __init__(self, agenda: Agenda, faults: Faults, schedule: Schedule, scale: float) -> None:
        self.kept: deque[Webhook] = deque(maxlen=KEPT_MAX)
        self._agenda = agenda
        self._faults = faults
        self._schedule = schedule
        self._scale = scale
        self._numbers = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}
        self._held: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    def send(
        self,
        reference: str,
        event: str,
        document: Mapping[str, Any],
        *,
        urls: Sequence[str],
        headers: Mapping[str, str],
        times: int = 1,
    ) -> None:
        """Sends a webhook to each address, with the faults that are set. Without an address it is kept."""
        strike = partial(self._faults.strike, reference=reference, operation=Operation.WEBHOOK)
        if strike(Fault.WEBHOOK_NEVER):
            return
        if rule := strike(Fault.WEBHOOK_ALTERED):
            document = altered(document, rule.fields)
        if strike(Fault.WEBHOOK_STRINGS):
            document = numbers_as_strings(document)
        times *= 2 if strike(Fault.WEBHOOK_TWICE) else 1
        body = json.dumps(document).encode()

        def leave() -> None:
            for url in [url for _ in range(times) for url in urls or [""]]:
                self.dispatch(reference, event, url, body, headers)

        if rule := strike(Fault.WEBHOOK_LATE):
            self._agenda.after(timedelta(seconds=rule.seconds), leave)
        elif strike(Fault.WEBHOOK_REVERSED):
            self._held[reference].append(leave)
        else:
            leave()
            for held in reversed(self._held.pop(reference, [])):
                held()

    def dispatch(self, reference: str, event: str, url: str, body: bytes, headers: Mapping[str, str]) -> Webhook:
        """Sends these bytes, without any fault."""
        self._numbers += 1
        webhook = Webhook(self._numbers, reference, event, url, body, {"Content-Type": "application/json", **headers})
        self.kept.append(webhook)
        if is_here(url):
            self._start(webhook)
        return webhook

    def find(self, number: int) -> Webhook:
        """A webhook that is kept. Raises ValueError."""
        found = next((webhook for webhook in self.kept if webhook.number == number), None)
        if found is None:
            raise ValueError(f"There is no webhook {number}; the newest {KEPT_MAX:,} are kept.")
        return found

    async def delivered(self) -> None:
        """Waits until no delivery is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self) -> None:
        """Ends all deliveries."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _start(self, webhook: Webhook) -> None:
        before = self._last.get(webhook.reference)
        task = asyncio.ensure_future(self._try(webhook, before))
        self._tasks.add(task)
        self._last[webhook.reference] = task
        task.add_done_callback(partial(self._done, webhook.reference))

    def _done(self, reference: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._last.get(reference) is task:
            del self._last[reference]

    async def _try(self, webhook: Webhook, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        webhook.waiting = False
        async with self._gate:
            status = await self._deliver(webhook)
        made = len(webhook.answers)  # repeats so far, with this one's predecessors
        webhook.answers.append(status)
        allowed = min(self._schedule.repeats(status), len(self._schedule.delays))
        if made < allowed:
            webhook.waiting = True
            self._agenda.after(self._schedule.delays[made] * self._scale, partial(self._start, webhook))

    async def _deliver(self, webhook: Webhook) -> int:
        """One try. The status of its answer; 0 when none comes in time."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._schedule.timeout_s), cookie_jar=aiohttp.DummyCookieJar()
            )
        url = webhook.url
        try:
            for _ in range(HOPS_MAX):
                async with self._session.post(
                    check_address(url), data=webhook.body, headers=webhook.headers, allow_redirects=False
                ) as answer:
                    if answer.status not in {307, 308}:
                        return answer.status
                    url = urljoin(url, answer.headers.get("Location", ""))
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
            return 0
        return 0
