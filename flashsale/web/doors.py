"""All doors of a process as one ASGI application: the hot door first, then Django; and the tending of running sales."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from flashsale.gate.client import gate
from flashsale.life import tick
from flashsale.web.hot import door
from flashsale.web.hot.http import Receive, Scope, Send, end_slow_readers

log = structlog.get_logger(__name__)

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
LAST_TENDING_S = 5.0


def doors(django: Application) -> Application:
    """The application that a server runs."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif not await door.serve(scope, receive, send):
            await django(scope, receive, send)

    return application


async def _live(receive: Receive, send: Send) -> None:
    """From the server's start to its end this process tends running sales: nothing in a sale waits for Celery."""
    await receive()
    stop = asyncio.Event()
    tending = asyncio.create_task(_tend(stop), name="tending")
    watching = asyncio.create_task(end_slow_readers(), name="watching")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    watching.cancel()
    stop.set()
    await asyncio.wait({tending}, timeout=LAST_TENDING_S)
    tending.cancel()
    await gate().close()
    await send({"type": "lifespan.shutdown.complete"})


async def _tend(stop: asyncio.Event) -> None:
    """Tends until told to stop, whatever comes up: a sale that nobody tends stands still."""
    while not stop.is_set():
        try:
            await tick.run_ticks(stop=stop)
        except Exception:  # a process that serves must also tend
            log.exception("tending broke off, goes on")
            await asyncio.sleep(tick.TICK_S)
