"""Synchronous callers (pages, API, commands, tasks) reach the gate through one background event loop per process."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def _loop() -> asyncio.AbstractEventLoop:
    # Keyed by pid: a forked Celery child must not use its parent's loop, whose thread it does not have.
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="gate-bridge", daemon=True).start()
            _loops[os.getpid()] = loop
        return loop


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The coroutine's result, awaited on the background loop; never call it from a running event loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()
