"""Single flight: callers who need the same work at the same time share one run of it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

# Healthy PostgreSQL needs less than this for small work. When PostgreSQL hangs, no caller waits longer than this.
WAIT_S = 1.0


class SingleFlight:
    """Database work that runs once for all callers of an event loop that come while it runs.

    A caller waits until 1 s after the work began, at most. Otherwise a PostgreSQL that hangs would fill the process
    with waiting requests. The work is not cancelled then: it goes on in the background, and until it ends no second
    thread starts and hangs beside it.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Starts the work unless it runs already, and waits for it. Raises what the work raises, or TimeoutError."""
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._began, self._task = loop.time(), loop.create_task(work())
            self._task.add_done_callback(self._end)
        task, left = self._task, self._began + WAIT_S - loop.time()
        if left > 0:
            await asyncio.wait({task}, timeout=left)
        if not task.done():
            raise TimeoutError(f"PostgreSQL has not answered for {WAIT_S} s")
        task.result()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            # Marks the exception as read. Otherwise asyncio logs it when all callers have stopped waiting.
            task.exception()
