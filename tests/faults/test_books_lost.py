"""PostgreSQL hangs or stops: the sale refuses in time, its clock stops, and it continues without a restart of ours."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection

from flashsale.gate import bridge, scripts
from flashsale.life import clock_lease, tick
from flashsale.models import Reservation
from flashsale.rules.outcomes import Outcome, Refused
from simulation.postgres_server import PostgresServer
from tests.factories import Shopper, card_of
from tests.faults.steps import broken, called

pytestmark = [
    pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"),
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite is no server that could go away"),
]  # fmt: skip


def _family(pid: int) -> list[int]:
    """A server's process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [pid, *map(int, children)]


def hangs(server: PostgresServer) -> Callable[[], Any]:
    family = _family(server.pid)
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    return lambda: [os.kill(pid, signal.SIGCONT) for pid in family]


def stops(server: PostgresServer) -> Callable[[], Any]:
    server.stop()
    return server.start


def answer(person: Shopper) -> Any:
    try:
        return person.reserve()
    except Refused as refused:
        return refused


@pytest.mark.parametrize("fault", [hangs, stops])
def test_books_that_go_away_refuse_in_time_stop_the_clock_and_need_no_restart_of_ours(
    own_books: PostgresServer, fault: Callable[[PostgresServer], Callable[[], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine needs seconds until the ticks begin. The claim window is shorter than the outage.
    monkeypatch.setattr(clock_lease, "CLOCK_LEASE_MS", 5000)
    monkeypatch.setattr(clock_lease, "CLOCK_RENEWAL_MS", 300)
    sale, (ani, budi) = called("ani", "budi", claim_s=9)
    stop = asyncio.Event()
    tending = asyncio.run_coroutine_threadsafe(tick.run_ticks(stop=stop), bridge._loop())
    time.sleep(0.5)
    card, line = card_of(sale), ani.line
    heal = fault(own_books)
    try:
        began = time.monotonic()
        refused = answer(ani)
        assert time.monotonic() - began < 20
        assert (refused.outcome, refused.retry_after_s) == (Outcome.UNKNOWN, 2)
        time.sleep(6)
        first = bridge.run(scripts.survey(card, line))
        time.sleep(5)
        later = bridge.run(scripts.survey(card, line))
        assert not isinstance(first, Outcome)
        assert not isinstance(later, Outcome)
        assert later.now == first.now < later.wall - 3000
        assert answer(budi).outcome is Outcome.NOT_READY
        assert budi.look().state == "called"
    finally:
        heal()
    for person in (ani, budi):
        _until_reserved(person)
    bridge.run(_end(stop))
    tending.result(60)
    connection.close()  # of this thread; a web process would have closed it after the request
    assert Reservation.objects.filter(state="held").count() == 2
    assert broken(sale) == []


def _until_reserved(person: Shopper) -> None:
    for _ in range(240):
        try:
            if not isinstance(answer(person), Refused):
                return
        except DatabaseError:
            pass
        time.sleep(0.25)
    raise AssertionError("the sale does not go on")


async def _end(stop: asyncio.Event) -> None:
    stop.set()
