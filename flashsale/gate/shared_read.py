"""Shared reads: callers of an event loop who need the same value at the same time share one read of it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from flashsale.gate.client import GateCache

Key = TypeVar("Key")
Value = TypeVar("Value")


class SharedReads(Generic[Key, Value]):
    """The reads of one kind that are on their way, by key.

    Without this, a thousand connections whose cached value has just become old would read Redis a thousand times.
    """

    def __init__(self) -> None:
        self._reads: GateCache[Key, asyncio.Task[Value]] = GateCache()

    async def get(self, key: Key, read: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """The value that `read` returns. A caller that is cancelled does not end the read of the others."""
        reads = self._reads.entries()
        task = reads.get(key)
        if task is None:
            task = reads[key] = asyncio.create_task(read())

            def end(task: "asyncio.Task[Value]") -> None:
                if reads.get(key) is task:
                    del reads[key]
                # Marks the exception as read. Otherwise asyncio logs it when all callers have stopped waiting.
                _ = task.cancelled() or task.exception()

            task.add_done_callback(end)
        return await asyncio.shield(task)

    def forget(self, key: Key) -> None:
        """Later callers start a read of their own, because the one that is on its way may be too old."""
        self._reads.entries().pop(key, None)
