"""Long work leaves room for other writers: on SQLite it pauses, because a writer that waits has no place in a queue."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.utils import timezone

from flashsale.books import other_writers
from flashsale.books.other_writers import OtherWriters
from flashsale.life import notify
from flashsale.models import Notice, Reservation
from tests.admin.orders import buy
from tests.factories import PHONE, lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
ON_SQLITE = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL locks rows")
LETTERS = 300
# A door gives up after this time (life/reserve.py).
DOOR_WAITS_S = 1.9


@pytest.fixture
def order() -> Reservation:
    """An order about which many letters are due."""
    (order,) = buy(lobby_sale(poco_campaign(), stock={PHONE: 1}), ["ani"])
    Notice.objects.all().delete()
    about = [str(n) for n in range(LETTERS)]
    letters = [Notice(reservation=order, sale=order.sale, kind="expired", about=n) for n in about]
    for letter in letters:
        letter.due_at = timezone.now()
    Notice.objects.bulk_create(letters)
    return order


@contextmanager
def another_writer(order: Reservation) -> Iterator[list[float]]:
    """Writes in another thread, again and again. Gives how long each of its transactions took."""
    took: list[float] = []
    ended = Event()

    def write() -> None:
        try:
            while not ended.wait(0.02):
                began = time.monotonic()
                with transaction.atomic():
                    Reservation.objects.filter(pk=order.pk).update(channel=order.channel)
                took.append(time.monotonic() - began)
        finally:
            connection.close()

    thread = Thread(target=write)
    thread.start()
    try:
        yield took
    finally:
        ended.set()
        thread.join()


@ON_SQLITE
def test_without_pauses_another_writer_waits_until_the_letters_are_done(
    order: Reservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_writers, "WORK_S", 3600.0)
    with another_writer(order) as took:
        began = time.monotonic()
        notify.send_due()
        worked = time.monotonic() - began
    assert max(took) > worked / 2


@ON_SQLITE
def test_another_writer_gets_its_turn_between_letters(order: Reservation) -> None:
    with another_writer(order) as took:
        while Notice.objects.filter(state="due").exists():
            notify.send_due()
        wrote = len(took)
    assert max(took) < DOOR_WAITS_S
    assert wrote >= 3


@ON_SQLITE
def test_work_pauses_only_after_it_has_worked_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=slept.append)
    monkeypatch.setattr(other_writers, "time", clock)
    others = OtherWriters()
    for now[0] in (100.0, 100.09, 100.11, 100.15, 100.2, 100.22):
        others.let_in()
    assert slept == [other_writers.PAUSE_S] * 2


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="the pauses of SQLite are tested above")
def test_nothing_pauses_on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(other_writers, "WORK_S", 0.0)
    monkeypatch.setattr(other_writers, "time", SimpleNamespace(monotonic=time.monotonic, sleep=slept.append))
    others = OtherWriters()
    for _ in range(100):
        others.let_in()
    assert slept == []
