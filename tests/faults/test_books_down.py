"""PostgreSQL does not answer: people get the outcome `unknown`, and the same key later gives the real result."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from flashsale.books import reservations, writer_threads
from flashsale.gate import bridge, scripts
from flashsale.life import clock_lease, reserve, tick
from flashsale.models import Reservation, Sale, Unit
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import Shopper, refusal, tend
from tests.faults.steps import ONE_HELD, broken, called, come_due, in_books, in_gate

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
Commit = Callable[[int, Sequence[reservations.NewReservation]], Any]


def before(_: Commit) -> Commit:
    def commit(*_: Any) -> Any:
        raise OperationalError("the server closed the connection unexpectedly")

    return commit


def after(really: Commit) -> Commit:
    def commit(*args: Any) -> Any:
        really(*args)
        raise OperationalError("the server closed the connection unexpectedly")

    return commit


def closed(_: Commit) -> Commit:
    def commit(*_: Any) -> Any:
        raise InterfaceError("connection already closed")

    return commit


def slowly(really: Commit) -> Commit:
    def commit(*args: Any) -> Any:
        time.sleep(0.4)
        return really(*args)

    return commit


@pytest.mark.parametrize("fault", [before, after, closed, slowly])
def test_a_commit_of_unknown_outcome_is_told_as_unknown_and_the_same_key_tells_the_truth(
    fault: Callable[[Commit], Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, (ani, _) = called("ani", "budi")
    with monkeypatch.context() as patch:
        patch.setattr(reservations, "_commit", fault(reservations._commit))
        patch.setattr(reserve, "COMMIT_TIMEOUT_S", 0.2 if fault is slowly else 60.0)
        began = time.monotonic()
        assert refusal(ani.reserve) is Outcome.UNKNOWN
        assert time.monotonic() - began < 30
    assert ani.reserve().replayed is True
    assert in_books() == {"units": ["free", "held"], "reservations": ["held"], "claims": 2}
    assert in_gate(sale) == ONE_HELD
    assert broken(sale) == []


def test_one_connection_lost_does_not_silence_the_writer_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (ani, budi) = called("ani", "budi")
    with monkeypatch.context() as patch:
        patch.setattr(reservations, "_commit", closed(reservations._commit))
        assert refusal(ani.reserve) is Outcome.UNKNOWN
    assert budi.reserve().replayed is False


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no connections to cut")
def test_after_all_connections_were_cut_the_same_key_gets_through() -> None:
    sale, (ani, budi) = called("ani", "budi")
    budi.reserve()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    answers: list[Any] = []
    while not answers or answers[-1] is Outcome.UNKNOWN:
        answers.append(_answer(ani))
        assert len(answers) < 20
    django_connection: Any = connection
    django_connection.close_pool()  # so that later tests do not get the other dead connections
    assert Reservation.objects.filter(state="held").count() == Unit.objects.filter(state="held").count() == 2
    assert broken(sale) == []


def _answer(person: Shopper) -> Any:
    try:
        return person.reserve()
    except Refused as refused:
        return refused.outcome


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no row locks")
def test_a_sale_whose_row_somebody_holds_for_long_stops_neither_the_clocks_nor_the_commits_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine needs seconds until the ticks begin, and the lease must not end before.
    monkeypatch.setattr(clock_lease, "CLOCK_LEASE_MS", 8000)
    monkeypatch.setattr(clock_lease, "CLOCK_RENEWAL_MS", 300)
    stuck, (ani, budi) = called("ani", "budi")
    other, (cici, _) = called("cici", "dodi")
    ani.reserve()
    come_due(stuck)
    began = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # until the end of this transaction
        Sale.objects.select_for_update().get(pk=stuck.pk)
        assert _answer(budi) is Outcome.UNKNOWN
        bridge.run(_tended(seconds=10))
        assert Reservation.objects.get().state == "held"
        figures = bridge.run(scripts.survey(cici.card, cici.line))
        assert not isinstance(figures, Outcome)
        assert figures.wall < figures.runs_until
        assert cici.reserve().replayed is False
    while in_gate(stuck)["held"] > 1:
        assert time.monotonic() - began < 120
        tend(stuck)
    assert budi.reserve().replayed is True
    assert broken(stuck) == broken(other) == []


async def _tended(*, seconds: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await asyncio.wait_for(tick.run_ticks(stop=stop), seconds + 60)


def test_a_batch_that_breaks_the_writer_is_answered_at_once_and_the_thread_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sale, (ani, budi) = called("ani", "budi")

    def breaks(*_: Any) -> Any:
        raise ValueError("nobody foresaw this")

    with monkeypatch.context() as patch:
        patch.setattr(reservations, "_commit", breaks)
        patch.setattr(reserve, "COMMIT_TIMEOUT_S", 60.0)
        began = time.monotonic()
        assert refusal(ani.reserve) is Outcome.UNKNOWN
        assert time.monotonic() - began < 30
    thread = writer_threads.writer_of(sale.pk)._thread
    assert thread is not None
    assert thread.is_alive()
    assert [budi.reserve().replayed, ani.reserve().replayed] == [False, True]
    assert writer_threads.writer_of(sale.pk)._thread is thread
