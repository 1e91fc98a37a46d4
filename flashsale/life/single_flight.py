"""Single flight: callers who need the same work at the same time share one run of it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

# Longer than healthy books take for anything small; no door lets anybody wait longer for books that hang.
WAIT_S = 1.0


class SingleFlight:
    """Work at the books that is done once for all who come to an event loop meanwhile.

    Nobody waits for it past a second after it began, else books that hang would fill the doors; nor is it broken off
    then: it ends by itself, and until it does no second thread hangs beside it.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins the work unless it is under way, and waits for it. Raises what it raises, and TimeoutError."""
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._began, self._task = loop.time(), loop.create_task(work())
            self._task.add_done_callback(self._end)
        task, left = self._task, self._began + WAIT_S - loop.time()
        if left > 0:
            await asyncio.wait({task}, timeout=left)
        if not task.done():
            raise TimeoutError(f"the books have not answered for {WAIT_S} s")
        task.result()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # where nobody waits any more it is nobody's
