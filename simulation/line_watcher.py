"""Polls the public status of a line once for the whole crowd, as a cache in front of the server would."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from flashsale.rules import lottery
from flashsale.rules.polling import Status, next_poll_ms
from simulation.client import HttpClient, now_ms

POLL_EVERY_S = 0.25


class LineWatcher:
    """The newest public status document of one line, and the people who wait for their call.

    Until `refills_until` (ms) the line may still get units of another line, so it is not over before.
    """

    def __init__(self, *, http: HttpClient, sale: str, line: str, refills_until: int = 0) -> None:
        self.sale = sale
        self.line = line
        self._refills_until = refills_until
        self.document: dict[str, Any] = {}
        self.drawn = asyncio.Event()
        self.opened = asyncio.Event()
        self._http = http
        self._etag = ""
        self._over = False

    async def run(self) -> None:
        """Polls until the task is cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(POLL_EVERY_S)

    async def poll(self) -> None:
        """Gets the status document once and wakes the people who waited for a change."""
        answer = await self._http.send(
            who="everyone",
            verb="status",
            method="GET",
            path=f"/v1/sales/{self.sale}/lines/{self.line}/status",
            sale=self.sale,
            line=self.line,
        )
        if answer.status == 200:
            self.document = answer.body
            self._wake()

    def number(self, index: int) -> int:
        """The number of an index. Anybody can compute it when the line is drawn."""
        seed = bytes.fromhex(self.document["seed"])
        return lottery.number(index, int(self.document["cohort"]), seed)

    @property
    def over(self) -> bool:
        """Whether people can get nothing more here: the line is closed, or all its units are sold and paid."""
        document = self.document
        if not document:
            return False
        if now_ms() < self._refills_until:
            return False
        sold_out = document["phase"] == "open" and document["free"] == document["held"] == 0 and bool(document["seed"])
        return sold_out or document["phase"] in {"closed", "called_off"}

    async def wait_for_call(self, number: int, rng: random.Random) -> bool:
        """Waits until a person has heard that the number is called. Returns False when the line is over before that.

        The person polls as the page does, and this watcher is the cache that answers.
        """
        while self.document["called"] < number:
            if self._over:
                return False
            await asyncio.sleep(self._next_poll_ms(number, rng) / 1000)
        return True

    def _next_poll_ms(self, number: int, rng: random.Random) -> int:
        now = self.document["now"]
        return next_poll_ms(Status.of(self.document), now=now, number=number, waiting=True, random=rng.random())

    def _wake(self) -> None:
        document = self.document
        if document["seed"]:
            self.drawn.set()
        if document["phase"] not in {"scheduled", "lobby"}:
            self.opened.set()
        if self.over:
            self._over = True
            self.drawn.set()


class LineWatchers:
    """The watchers of all lines of a crowd. Usable as a context manager, which polls in the background."""

    def __init__(self, *, http: HttpClient, sale: str, lines: list[str], refills_until: Mapping[str, int]) -> None:
        self.by_line = {
            line: LineWatcher(http=http, sale=sale, line=line, refills_until=refills_until.get(line, 0))
            for line in lines
        }
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(watcher.poll() for watcher in self.by_line.values()))
        self._tasks = [asyncio.create_task(watcher.run()) for watcher in self.by_line.values()]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
