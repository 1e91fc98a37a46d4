"""How the life reaches the books: coroutines through a few threads of this process, for the event loop never waits
for a query; and work that only one process may be at, alone."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connection

Args = ParamSpec("Args")
Result = TypeVar("Result")

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="books")


async def in_books(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The result of `work`, done in a thread with a connection of its own. Raises what it raises."""

    def run() -> Result:
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_threads, run)


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
