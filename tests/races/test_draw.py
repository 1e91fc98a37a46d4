"""The cohort is the people in the line at the opening, also when several processes draw, or draw late."""

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from flashsale.gate import bridge, scripts
from flashsale.life import draw, places
from flashsale.life.look import look
from flashsale.models import Allocation, Sale
from flashsale.rules import lottery
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState
from tests.factories import Shopper, card_of, lobby_sale, move_opening, open_now, tend
from tests.faults.steps import lose_everything

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def crowd(sale: Sale, names: str) -> list[Shopper]:
    people = [Shopper(sale, name) for name in names.split()]
    for person in people:
        person.enter()
    return people


def test_who_enters_between_the_opening_and_the_first_look_stands_behind_the_cohort():
    sale = lobby_sale()
    crowd(sale, "ani budi cici")
    move_opening(sale)
    late = crowd(sale, "dodi edi")
    tend(sale)
    tend(sale)
    assert Allocation.objects.get(sale=sale).cohort == 3
    assert [person.number() for person in late] == [4, 5]


def test_who_leaves_or_comes_back_between_the_opening_and_the_draw_changes_no_cohort():
    sale = lobby_sale()
    ani, *_ = crowd(sale, "ani budi cici")
    move_opening(sale)
    assert ani.enter().index == 1
    tend(sale)
    assert Allocation.objects.get(sale=sale).cohort == 3


def test_an_opening_that_is_moved_before_the_draw_takes_those_in_who_came_meanwhile():
    sale = lobby_sale()
    crowd(sale, "ani")
    move_opening(sale)
    crowd(sale, "budi")
    move_opening(sale, timezone.now() + timedelta(hours=1))
    crowd(sale, "cici")
    open_now(sale)
    tend(sale)
    assert Allocation.objects.get(sale=sale).cohort == 3


def test_ten_at_once_draw_one_and_the_same():
    sale = lobby_sale(channels=("lazada", "akulaku"))
    people = crowd(sale, "ani budi cici dodi")
    Shopper(sale, "edi", channel="akulaku").enter()
    move_opening(sale)
    card = card_of(sale)
    start = threading.Barrier(10)
    drawn = []

    def look_after() -> None:
        start.wait()
        drawn.append(bridge.run(draw.draw(card=card)))

    threads = [threading.Thread(target=look_after) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [True] * 10
    lines = {line.code: line for line in Allocation.objects.filter(sale=sale)}
    assert {code: line.cohort for code, line in lines.items()} == {"lazada": 4, "akulaku": 1}
    secret = Sale.objects.get(pk=sale.pk).draw_secret()
    assert {code: line.seed for code, line in lines.items()} == {
        code: lottery.seed(secret, code, line.cohort).hex() for code, line in lines.items()
    }
    assert sorted(person.number() for person in people) == [1, 2, 3, 4]


@pytest.mark.parametrize("step", ["write_cohorts", "_void_absent"])
def test_a_draw_goes_on_where_the_last_one_died(step, monkeypatch):
    sale = lobby_sale()
    people = crowd(sale, "ani budi cici")
    move_opening(sale)
    card = card_of(sale)

    class Died(Exception):
        pass

    def die(*_args):
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(draw, step, die)
        with pytest.raises(Died):
            bridge.run(draw.draw(card=card))
    assert people[0].look().number is None
    crowd(sale, "dodi")
    assert bridge.run(draw.draw(card=card)) is True
    assert sorted(person.number() for person in people) == [1, 2, 3]
    assert bridge.run(places.number_of(card, card.lines[0], 4))[0] == 4


def test_who_is_first_seen_in_the_middle_of_the_draw_is_called(gate, monkeypatch):
    sale = lobby_sale()
    (person,) = crowd(sale, "ani")
    lose_everything(gate, sale)
    move_opening(sale)
    where = {"card": card_of(sale), "line": person.line, "place": person.place}
    said: list[Any] = []
    marks = draw._void_absent

    async def then_looks(*line):
        await marks(*line)
        said.extend(await asyncio.gather(look(**where), return_exceptions=True))

    monkeypatch.setattr(draw, "_void_absent", then_looks)
    tend(sale)
    assert said[0].outcome is Outcome.NOT_READY
    assert person.look().state is PlaceState.WAITING
    tend(sale)
    assert person.look().state is PlaceState.CALLED


def test_a_door_that_draws_more_slowly_than_another_spends_no_place_seen_since(gate, monkeypatch):
    sale = lobby_sale()
    (person,) = crowd(sale, "ani")
    lose_everything(gate, sale)
    move_opening(sale)
    where, marks = {"card": card_of(sale), "line": person.line, "place": person.place}, scripts.void

    async def after_another_door(*line, **numbers):
        monkeypatch.setattr(scripts, "void", marks)
        assert await draw.draw(card=where["card"])
        assert (await look(**where)).state is PlaceState.WAITING
        return await marks(*line, **numbers)

    monkeypatch.setattr(scripts, "void", after_another_door)
    assert bridge.run(draw.draw(card=where["card"]))
    assert person.look().state is PlaceState.WAITING
