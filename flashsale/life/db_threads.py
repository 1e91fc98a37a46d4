"""Runs the database work of coroutines in a few threads, because the event loop must never wait for a query."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

Args = ParamSpec("Args")
Result = TypeVar("Result")
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="books")
# A rebuild takes seconds. The clocks of running sales must not wait for it.
_rebuild_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="rebuild")
# Calls of test keys wait for one another, so that they keep no thread from live sales.
_sandbox_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")

# A look for alarms, and a slow mail server that takes their messages, must not keep a thread from the sales.
_alarm_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alarms")
_message_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alarm messages")
# Samples are for people to look at. A table of them that is locked keeps no thread from the sales.
_sampling_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="samples")


async def run_in_db_thread(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Calls `work` in a thread that has its own database connection. Returns its result or raises its exception."""
    return await _run_in(_threads, work, *args, **kwargs)


async def run_in_rebuild_thread(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The same in one of two threads that only rebuilds use."""
    return await _run_in(_rebuild_threads, work, *args, **kwargs)


async def run_in_sandbox_thread(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The same in the one thread of the sandbox."""
    return await _run_in(_sandbox_thread, work, *args, **kwargs)


async def run_in_alarm_thread(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The same in the one thread that looks for alarms."""
    return await _run_in(_alarm_thread, work, *args, **kwargs)


async def run_in_message_thread(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The same in the one thread that sends the messages about alarms."""
    return await _run_in(_message_thread, work, *args, **kwargs)


async def run_in_sampling_thread(work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """The same in the one thread of the samples."""
    return await _run_in(_sampling_thread, work, *args, **kwargs)


async def _run_in(
    threads: ThreadPoolExecutor, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs
) -> Result:
    def run() -> Result:
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(threads, run)
