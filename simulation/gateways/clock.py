"""The clock of a simulated gateway, and what falls due by it."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

NO_TIME = timedelta(0)


class Clock:
    """A clock that may stand still, be moved and be wrong."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Makes it run true."""
        self._moved = NO_TIME
        self._wrong = NO_TIME
        self._frozen: datetime | None = None

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._frozen is not None

    def now(self) -> datetime:
        """What it shows, in UTC."""
        return (self._frozen or datetime.now(UTC) + self._moved) + self._wrong

    def jump(self, to: datetime) -> None:
        """Makes it show this time. A frozen clock stays frozen."""
        if self._frozen is not None:
            self._frozen = to - self._wrong
        else:
            self._moved = to - self._wrong - datetime.now(UTC)

    def freeze(self) -> None:
        """Stops it where it is."""
        self._frozen = self.now() - self._wrong

    def run(self) -> None:
        """Lets it go on from where it stands."""
        if self._frozen is not None:
            self._moved, self._frozen = self._frozen - datetime.now(UTC), None

    def be_wrong(self, by: timedelta) -> None:
        """Makes it this far ahead of the true time; below 0, behind it."""
        self._wrong = by


class Agenda:
    """What the gateway does at a time of its clock: expiry, repeats of webhooks, answers of banks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def at(self, time: datetime, what: Callable[[], None]) -> None:
        """Calls `what` when the clock shows `time`."""
        heapq.heappush(self._due, (time, next(self._numbers), what))
        self._changed.set()

    def after(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Calls `what` after `delay`."""
        self.at(self.clock.now() + delay, what)

    def fire(self) -> None:
        """Does all that is due."""
        while self._due and self._due[0][0] <= self.clock.now():
            heapq.heappop(self._due)[2]()

    def clear(self) -> None:
        """Forgets everything that is not due yet."""
        self._due.clear()
        self._changed.set()

    def clock_changed(self) -> None:
        """Tells `keep` that the clock was set."""
        self._changed.set()

    async def move(self, to: datetime, settled: Callable[[], Awaitable[None]]) -> None:
        """Moves the clock forward. It stops at each time at which something is due, until `settled` returns."""
        await settled()
        while self._due and self._due[0][0] <= to:
            self.clock.jump(max(self._due[0][0], self.clock.now()))
            self.fire()
            await settled()
        self.clock.jump(to)
        self._changed.set()

    async def keep(self) -> None:
        """Does what is due while the clock runs; never returns."""
        while True:
            self._changed.clear()
            self.fire()
            wait = None
            if self._due and not self.clock.frozen:
                wait = max(0.001, (self._due[0][0] - self.clock.now()).total_seconds())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)
