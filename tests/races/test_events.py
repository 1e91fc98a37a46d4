"""Readers of the events poll while many transactions write them, and miss none."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from flashsale.books import events as books
from flashsale.books import reservations
from flashsale.books.events import Horizon
from flashsale.life import events
from flashsale.models import Event, Reservation
from flashsale.rules.events import EventType
from tests.factories import poco_campaign
from tests.faults.steps import apart
from tests.races.crowd import at_once
from tests.races.lying_gate import LyingGate

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("gate"),
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite runs one transaction after the other"),
]
WRITERS, TRANSACTIONS, READERS = 4, 25, 2


class Polling:
    """A reader that goes on from its cursor, as a partner does."""

    def __init__(self, channel: int) -> None:
        self.channel, self.after, self.ids = channel, "", list[int]()

    def read(self) -> list[int]:
        page = events.read_events(channel=self.channel, after=self.after, limit=7)
        self.after = page.after
        self.ids += [event.id for event in page.events]
        return [event.id for event in page.events]

    def read_all(self) -> None:
        while self.read():
            pass


@contextmanager
def slow_transaction(row: Reservation, *, undone: bool = False) -> Iterator[None]:
    """Another process that has written an event, and commits at the end or is undone."""
    written, may_commit = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            books.record([books.of_order(row, EventType.RESERVATION_EXPIRED)], timezone.now())
            written.set()
            assert may_commit.wait(20)
            transaction.set_rollback(undone)

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(apart, write)
        assert written.wait(20)
        try:
            yield
        finally:
            may_commit.set()
        done.result()


def bare_ids() -> Horizon:
    """The guard removed: everything that can be read is taken for settled."""
    last = Event.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    return Horizon(last, last)


class TestASlowTransactionWithASmallerId:
    @pytest.fixture
    def rows(self) -> list[Reservation]:
        gate = LyingGate()
        reservations.commit([gate.winner(n) for n in range(2)])
        return list(Reservation.objects.order_by("pk"))

    def _read_around(self, rows: list[Reservation]) -> tuple[list[int], list[int]]:
        """What is read before and after the commit of the slow one, and all that is there."""
        reader = Polling(rows[0].channel_id)
        reader.read_all()
        before = len(reader.ids)
        with slow_transaction(rows[0]):
            with transaction.atomic():
                books.record([books.of_order(rows[1], EventType.RESERVATION_RELEASED)], timezone.now())
            reader.read_all()
            self.early = reader.ids[before:]
        reader.read_all()
        return reader.ids, list(Event.objects.order_by("pk").values_list("pk", flat=True))

    def test_is_lost_to_a_reader_that_pages_by_bare_ids(
        self, rows: list[Reservation], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events, "horizon", bare_ids)
        read, there = self._read_around(rows)
        assert self.early == there[-1:]
        assert [id_ for id_ in there if id_ not in read] == there[-2:-1]

    def test_is_waited_for(self, rows: list[Reservation]) -> None:
        read, there = self._read_around(rows)
        assert (read, self.early) == (there, [])

    def test_that_is_undone_is_waited_for_no_longer(self, rows: list[Reservation]) -> None:
        reader = Polling(rows[0].channel_id)
        with slow_transaction(rows[0], undone=True):
            with transaction.atomic():
                books.record([books.of_order(rows[1], EventType.RESERVATION_RELEASED)], timezone.now())
            reader.read_all()
            assert reader.ids[-1] < Event.objects.latest("pk").pk
        reader.read_all()
        assert reader.ids == list(Event.objects.order_by("pk").values_list("pk", flat=True))

    def test_whose_lock_is_late_does_not_send_a_reader_back(self, rows: list[Reservation]) -> None:
        reader = Polling(rows[0].channel_id)
        reader.read_all()
        seen = reader.after
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [books._TAG << books._ID_BITS | 1])
            assert apart_in_thread(books.horizon).settled == 1
            assert apart_in_thread(reader.read) == []
        assert int(reader.after.partition("-")[0]) == int(seen.partition("-")[0])


def apart_in_thread(act: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(apart, act).result()


def test_two_readers_that_poll_while_four_write_agree_with_the_table_to_the_row() -> None:
    gate = LyingGate(stock=WRITERS, campaign=poco_campaign(limit=4))
    reservations.commit([gate.winner(n) for n in range(WRITERS)])
    rows = list(Reservation.objects.order_by("pk"))
    left, readers = threading.Semaphore(0), [Polling(gate.channel.pk) for _ in range(READERS)]

    def write(row: Reservation) -> None:
        for n in range(TRANSACTIONS):
            with transaction.atomic():
                for _statement in range(1 + n % 3):
                    new = books.of_order(row, EventType.RESERVATION_EXPIRED)
                    books.record([new] * (1 + n % 4), timezone.now())
                transaction.set_rollback(n % 5 == 0)
        left.release()

    def poll(reader: Polling) -> int:
        for reads in count(1):
            over = left._value == WRITERS
            reader.read_all()
            if over:
                return reads
        raise AssertionError

    answers = at_once([*(partial(write, row) for row in rows), *(partial(poll, reader) for reader in readers)])
    assert answers[:WRITERS] == [None] * WRITERS
    there = list(Event.objects.order_by("pk").values_list("pk", flat=True))
    assert len(there) > WRITERS * TRANSACTIONS * 2
    assert [reader.ids == there for reader in readers] == [True] * READERS, answers
    for row in rows:
        sequences = list(Event.objects.filter(reservation=row.pk).order_by("pk").values_list("sequence", flat=True))
        assert sequences == list(range(1, len(sequences) + 1))
