"""After a pause is acknowledged there is no new reservation, also for requests under way and without Redis."""

import threading
from typing import Any

import pytest
from django.db import connections

from flashsale.books import reservations
from flashsale.life import sale_control
from flashsale.models import Reservation, Sale
from flashsale.rules.outcomes import Refused
from tests.factories import Shopper
from tests.faults.steps import broken, called, in_gate
from tests.races.crowd import words

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PEOPLE, HANDS, BEFORE = 36, 4, 8
# So many come when the pause is acknowledged, however slowly it was made.
LATE = 8
# A pause may take half a minute where other tests use the machine, and the late ones must not come before it.
PATIENCE_S = 300


@pytest.fixture
def sale_and_people() -> tuple[Sale, list[Shopper]]:
    return called(*(f"person-{n}" for n in range(PEOPLE)), stock=PEOPLE)


def rush(sale: Sale, people: list[Shopper]) -> tuple[list[Any], int, int]:
    """People reserve while the sale is paused. Returns their answers, and the number of reservations then and later."""
    answers: list[Any] = []
    some_done, paused = threading.Event(), threading.Event()
    queue = iter(enumerate(people))
    lock = threading.Lock()

    def hand() -> None:
        while True:
            with lock:
                number, person = next(queue, (0, None))
            if person is None:
                break
            if number >= PEOPLE - LATE:
                paused.wait(PATIENCE_S)
            try:
                answers.append(person.reserve())
            except Refused as refused:
                answers.append(refused.outcome)
            if len(answers) >= BEFORE:
                some_done.set()
        connections.close_all()

    hands = [threading.Thread(target=hand) for _ in range(HANDS)]
    for thread in hands:
        thread.start()
    try:
        assert some_done.wait(PATIENCE_S)
        sale_control.pause(sale=sale)
        then = Reservation.objects.filter(state="held").count()
    finally:
        paused.set()
        for thread in hands:
            thread.join(PATIENCE_S)
    return answers, then, Reservation.objects.filter(state="held").count()


async def unheard(*_: Any) -> None:
    """Replaces a message to Redis that is lost."""


def test_reserving_goes_on_after_a_pause_where_neither_gate_nor_books_look_at_it(
    sale_and_people: tuple[Sale, list[Shopper]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, people = sale_and_people
    monkeypatch.setattr(sale_control, "_send_decision", unheard)
    monkeypatch.setattr(
        reservations, "lock_sale", lambda sale, **_: (Sale.objects.values_list("epoch").get(pk=sale)[0], "published")
    )
    _, then, after = rush(sale, people)
    assert after == PEOPLE > then


@pytest.mark.parametrize("heard", [True, False])
def test_nothing_is_reserved_after_a_pause_even_if_the_gate_never_hears_of_it(
    sale_and_people: tuple[Sale, list[Shopper]], monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    sale, people = sale_and_people
    if not heard:
        monkeypatch.setattr(sale_control, "_send_decision", unheard)
    answers, then, after = rush(sale, people)
    assert words(answers) == {"reserved": then, "paused": PEOPLE - then}
    assert then == after < PEOPLE
    assert in_gate(sale) == {"offered": PEOPLE - then, "held": then, "sold": 0, "used": [1] * (2 * then)}
    assert broken(sale) == []


def test_people_refused_by_a_pause_reserve_after_it(sale_and_people: tuple[Sale, list[Shopper]]) -> None:
    sale, people = sale_and_people
    rush(sale, people)
    sale_control.resume(sale=sale)
    for person in people:
        person.reserve()
    assert Reservation.objects.filter(state="held").count() == PEOPLE
    assert broken(sale) == []
