"""How the life reaches the books: coroutines through a few threads of this process, for the event loop never waits
for a query; and work that only one process may be at, alone."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from django.db import close_old_connections, connection

Args = ParamSpec("Args")
Result = TypeVar("Result")

# Longer than healthy books take for anything small; no door lets anybody wait longer for books that hang.
WAIT_S = 1.0

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="books")


async def in_books(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The result of `work`, done in a thread with a connection of its own. Raises what it raises."""

    def run() -> Result:
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_threads, run)


class Errand:
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


@contextmanager
def alone(work: int, row: int, *, wait: bool) -> Iterator[bool]:
    """Whether nobody else is at this work for this row; with `wait` it is, sooner or later.

    PostgreSQL knows (advisory locks: `work` tells kinds of work apart), and forgets whoever dies with their connection.
    SQLite does not know: there several may be at it at once.
    """
    if connection.vendor != "postgresql":
        yield True
        return
    lock = "pg_advisory_lock(%s, %s) IS NOT NULL" if wait else "pg_try_advisory_lock(%s, %s)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {lock}", [work, row])
        mine = bool(cursor.fetchone()[0])
        try:
            yield mine
        finally:
            if mine:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [work, row])
