"""Lets synchronous code (pages, API, commands, tasks) call the gate (Redis), through one event loop per process."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def _loop() -> asyncio.AbstractEventLoop:
    # By process id: a forked Celery child must not use the loop of its parent, because the loop's thread is not in it.
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="gate-bridge", daemon=True).start()
            _loops[os.getpid()] = loop
        return loop


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Runs the coroutine on the background loop and returns its result. Never call it from a running event loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()
