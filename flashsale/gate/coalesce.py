"""Many requests, one script call: what arrives while a call is in flight goes into the next one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, cast

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

# A script of 64 reservations holds Redis for well under a millisecond; more would delay everybody else's commands.
BATCH_MAX = 64
# Beside the link's bound: what waits here, for one script of one line, is not on the link before its batch is.
WAITING_MAX = 20_000


class TooManyWaiting(Exception):
    """More requests wait for the gate than the bound allows."""


class Coalescer(Generic[Ask, Answer]):
    """Gathers an event loop's asks into batches of at most 64; adds no latency when idle: the first ask leaves at once.

    Whoever waits behind a batch that failed fails with it, instead of waiting for the same outage.
    """

    def __init__(self, send: Callable[[Sequence[Ask]], Awaitable[Sequence[Answer]]]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Ask, asyncio.Future[Answer]]] = deque()
        self._sent: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._sender: asyncio.Task[None] | None = None

    def ask(self, ask: Ask) -> asyncio.Future[Answer]:
        """The answer to come to one ask, or what its batch raised; raises :class:`TooManyWaiting` at once."""
        if len(self._waiting) >= WAITING_MAX:
            raise TooManyWaiting
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((ask, answer))
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
            answers = await self._send([ask for ask, _ in self._sent])
            for (_, future), answer in zip(self._sent, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _ended(self, sender: "asyncio.Task[None]") -> None:
        """Whatever ended the sender ends all who wait: none may wait for ever."""
        self._sender = None
        if not sender.cancelled() and sender.exception() is None:
            if self._waiting:  # asked since its last look
                self._start()
            return
        for _, future in (*self._sent, *self._waiting):
            if sender.cancelled():
                future.cancel()
            elif not future.done():
                future.set_exception(cast("BaseException", sender.exception()))
        self._waiting.clear()
