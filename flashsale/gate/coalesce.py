"""Many requests in one script call: requests that arrive while a call is in flight go into the next call."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

Request = TypeVar("Request")
Answer = TypeVar("Answer")

# A script with 64 reservations holds Redis for well under a millisecond; more would delay all other commands.
BATCH_MAX = 64
# The link has a bound, too, but it does not count these: a request is on the link only when its batch is sent.
WAITING_MAX = 20_000


class TooManyWaiting(Exception):
    """More requests wait for the gate than the bound allows."""


class Coalescer(Generic[Request, Answer]):
    """Gathers the requests of an event loop into batches of at most 64.

    An idle coalescer adds no latency, because it sends the first request at once. When a batch fails, the requests that
    wait behind it fail with it, so that they do not wait for the same outage.
    """

    def __init__(self, send: Callable[[Sequence[Request]], Awaitable[Sequence[Answer]]]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._sent: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._sender: asyncio.Task[None] | None = None

    def submit(self, request: Request) -> asyncio.Future[Answer]:
        """The future answer to a request, or the error of its batch. Raises :class:`TooManyWaiting` at once."""
        if len(self._waiting) >= WAITING_MAX:
            raise TooManyWaiting
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((request, answer))
        if self._sender is None:
            self._start()
        return answer

    def _start(self) -> None:
        self._sender = self._loop.create_task(self._drain())
        self._sender.add_done_callback(self._ended)

    async def _drain(self) -> None:
        while self._waiting:
            size = min(BATCH_MAX, len(self._waiting))
            self._sent = [self._waiting.popleft() for _ in range(size)]
            answers = await self._send([request for request, _ in self._sent])
            for (_, future), answer in zip(self._sent, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _ended(self, sender: "asyncio.Task[None]") -> None:
        """Passes the sender's error or cancellation to all waiting requests, which would wait for ever otherwise."""
        self._sender = None
        if not sender.cancelled() and sender.exception() is None:
            if self._waiting:  # submitted after the sender had looked for the last time
                self._start()
            return
        for _, future in (*self._sent, *self._waiting):
            if sender.cancelled():
                future.cancel()
            elif not future.done():
                future.set_exception(cast("BaseException", sender.exception()))
        self._waiting.clear()
