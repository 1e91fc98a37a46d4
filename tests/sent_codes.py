"""Waits for the codes that this process sends in the background."""

import asyncio

from flashsale.gate import bridge
from flashsale.life import send_codes


async def all_sent() -> None:
    """Returns when no code is on its way to a gateway."""
    while tasks := [task for task in send_codes.TASKS.entries() if task is not asyncio.current_task()]:
        await asyncio.wait(tasks)


def wait_for_codes() -> None:
    """The same for a test."""
    bridge.run(all_sent())
