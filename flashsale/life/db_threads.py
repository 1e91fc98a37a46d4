"""Runs the database work of coroutines in a few threads, because the event loop must never wait for a query."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

Args = ParamSpec("Args")
Result = TypeVar("Result")
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="books")


async def run_in_db_thread(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Calls `work` in a thread that has its own database connection. Returns its result or raises its exception."""

    def run() -> Result:
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_threads, run)
