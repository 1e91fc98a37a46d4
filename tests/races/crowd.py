"""Many requests at once: threads that start together, event loops of their own, scripts without their guards."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from hashlib import sha1
from typing import Any

from django.db import DatabaseError, connection, connections

from flashsale.gate.client import GateDown, Script, gate
from flashsale.life.reserve import Reserved, reserve
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import PHONE, Shopper


def at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Starts all acts together. Returns the result of each; of a refusal, its outcome."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait(timeout=120)
        try:
            return act()
        except Refused as refused:
            return refused.outcome
        except (GateDown, DatabaseError) as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(run, acts))


def door(makers: Iterable[Callable[[], Coroutine[Any, Any, Any]]]) -> list[Any]:
    """Runs requests together in one new event loop, with its own connections and batches. Returns the answers."""

    async def serve() -> list[Any]:
        # A busy machine may need longer than the time limit to open dozens of connections.
        for server in await gate().servers():
            server.pool.max_connections = 4
        try:
            return await asyncio.gather(*(make() for make in makers), return_exceptions=True)
        finally:
            await gate().close()

    try:
        return [answer.outcome if isinstance(answer, Refused) else answer for answer in asyncio.run(serve())]
    finally:
        connections.close_all()


def through_doors(makers: Sequence[Callable[[], Coroutine[Any, Any, Any]]], *, doors: int = 4) -> list[Any]:
    """Divides the requests among several event loops that start together. Returns all answers."""
    hands = [makers[n::doors] for n in range(doors)]
    return [answer for answers in at_once([partial(door, hand) for hand in hands]) for answer in answers]


def wish(person: Shopper, *, key: str = "once") -> Callable[[], Coroutine[Any, Any, Reserved]]:
    """A function that sends the person's request for one phone, from any event loop."""
    where = {"card": person.card, "line": person.line, "channel": person.channel, "place": person.place}
    return lambda: reserve(**where, items=[(PHONE, 1)], key=key, key_owner="place")


def words(answers: Iterable[Any]) -> Counter[str]:
    """How often each outcome occurs. A reservation counts as "reserved"."""
    return Counter(str(Outcome.RESERVED if isinstance(answer, Reserved) else answer) for answer in answers)


def without(script: Script, guard: str, instead: str = "") -> Script:
    """The script without one of its guards."""
    assert script.body.count(guard) == 1, guard
    weak = copy(script)
    weak.body = script.body.replace(guard, instead)
    weak.sha = sha1(weak.body.encode(), usedforsecurity=False).hexdigest()
    return weak


def closing(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wraps an act for a thread: closes the thread's database connection after it."""

    def run(what: Any) -> Any:
        try:
            return act(what)
        finally:
            connection.close()

    return run
