"""The ASGI application of a process: the hot door, then Django. It also looks after running sales in the background."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from django.conf import settings
from django.db import Error

from flashsale.gate.client import GateDown, gate
from flashsale.life import tick
from flashsale.life.measure_clock import measure_clock
from flashsale.web.hot import confirm_door, door
from flashsale.web.hot.http import (
    ClientDisconnected,
    HotRequest,
    HttpFault,
    Message,
    Receive,
    Scope,
    Send,
    end_slow_reads,
    fault_response,
    send_response,
)

log = structlog.get_logger(__name__)

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
LAST_TICK_S = 5.0
# So long does a start wait for the time of Redis or PostgreSQL.
FIRST_TIME_S = 3.0
LENGTH_HEADERS = frozenset({b"content-length", b"transfer-encoding"})


def with_hot_door(django: Application) -> Application:
    """The application that a server runs: `django`, with the hot door before it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _run_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif not await door.serve(scope, receive, send) and not await confirm_door.serve(scope, receive, send):
            await _serve_django(django, scope, receive, send)

    return application


async def _serve_django(django: Application, scope: Scope, receive: Receive, send: Send) -> None:
    """Lets Django answer, with the whole body. Django itself would wait for a slow body without a limit."""
    request = HotRequest(scope, receive)
    try:
        body = await request.body(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    except ClientDisconnected:
        return
    except HttpFault as error:
        await send_response(send, request, fault_response(request, error))
        return
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_whole() -> Message:
        return messages.pop() if messages else await receive()

    await django(_with_length(scope, len(body)), receive_whole, send)


def _with_length(scope: Scope, length: int) -> Scope:
    """The request with the length of its body, which is known now.

    A body in chunks declares none, and Django and the REST framework would take it for an empty one.
    """
    declared = [value for name, value in scope["headers"] if name == b"content-length"]
    if not all(value.isdigit() for value in declared):
        return scope  # web/errors.py refuses it
    headers = [pair for pair in scope["headers"] if pair[0] not in LENGTH_HEADERS]
    return scope | {"headers": [*headers, (b"content-length", b"%d" % length)]}


async def _run_lifespan(receive: Receive, send: Send) -> None:
    """Looks after running sales from the server's start to its end, so that no sale has to wait for Celery."""
    await receive()
    stop = asyncio.Event()
    ticking = asyncio.create_task(_keep_ticking(stop), name="ticking")
    watching = asyncio.create_task(end_slow_reads(), name="end slow reads")
    # The first request finds the right time. Without it, this process would use the clock of its machine.
    with suppress(GateDown, Error, TimeoutError):
        await asyncio.wait_for(measure_clock(), FIRST_TIME_S)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    watching.cancel()
    stop.set()
    await asyncio.wait({ticking}, timeout=LAST_TICK_S)
    ticking.cancel()
    await gate().close()
    await send({"type": "lifespan.shutdown.complete"})


async def _keep_ticking(stop: asyncio.Event) -> None:
    """Ticks until `stop` is set. Continues after any error, because a sale without ticks calls no people."""
    while not stop.is_set():
        try:
            await tick.run_ticks(stop=stop)
        except Exception:  # a process that serves requests must also tick
            log.exception("ticking failed and starts again")
            await asyncio.sleep(tick.TICK_S)
