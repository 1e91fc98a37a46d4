"""Many people reserve at once: stock, limit, place and key are kept. Without its guard, each of them breaks."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import redis

from flashsale.gate import scripts
from flashsale.gate.held_request import HeldRequest, ReserveRequest
from flashsale.models import Reservation, Sale, Unit
from flashsale.rules.outcomes import Outcome
from tests.factories import PHONE, Shopper, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import broken
from tests.gate.floor import CARD, FIRST, KEYS, SEED, SMALL, request, stand
from tests.races.crowd import through_doors, wish, without, words

CHANNELS = ("lazada", "akulaku", "mi.com", "mi-store")


def wishes(*requests: ReserveRequest) -> list[Callable[[], Coroutine[Any, Any, Any]]]:
    return [partial(scripts.reserve, CARD, FIRST, seed=SEED, request=one) for one in requests]


def held(answers: list[Any]) -> list[HeldRequest]:
    return [answer for answer in answers if isinstance(answer, HeldRequest)]


class TestTheGateAlone:
    pytestmark = pytest.mark.usefixtures("gate")

    def test_gives_out_more_than_there_is_without_its_look_at_the_stock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stand(stock={SMALL: 7}, called=64)
        monkeypatch.setattr(scripts, "RESERVE", without(scripts.RESERVE, " or stock_refused(request)"))
        assert len(held(through_doors(wishes(*(request(n) for n in range(1, 65)))))) > 7

    @pytest.mark.parametrize("stock", [1, 7, 100])
    def test_gives_each_unit_to_one_of_many(self, gate: redis.Redis, stock: int) -> None:
        stand(stock={SMALL: stock}, called=200)
        answers = through_doors(wishes(*(request(n) for n in range(1, 201))), doors=8)
        units = [unit.unit_id for one in held(answers) for unit in one.units]
        assert sorted(units) == list(range(1, stock + 1))
        assert words(a for a in answers if isinstance(a, Outcome)) == {"sold_out": 200 - stock}
        assert gate.hget(KEYS.line(1), "held") == str(stock).encode()

    def test_lets_one_person_take_many_without_its_look_at_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stand(stock={SMALL: 8})
        monkeypatch.setattr(scripts, "RESERVE", without(scripts.RESERVE, "limit_refused(request) or "))
        assert len(held(through_doors(wishes(*(request(n, name="ani") for n in range(1, 9)))))) == 8

    def test_lets_one_person_take_one_however_many_places_they_come_from(self) -> None:
        stand(stock={SMALL: 8})
        answers = through_doors(wishes(*(request(n, name="ani") for n in range(1, 9))))
        assert len(held(answers)) == 1
        assert words(a for a in answers if isinstance(a, Outcome)) == {"limit_reached": 7}

    def test_gives_a_key_several_answers_without_its_memory_of_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stand()
        monkeypatch.setattr(scripts, "RESERVE", without(scripts.RESERVE, "if held then", "if false then"))
        answers = through_doors(wishes(*(request(1, id=f"r{n}", key="k") for n in range(20))))
        assert (len(held(answers)), answers.count(Outcome.PLACE_SPENT)) == (1, 19)

    def test_gives_a_key_pressed_twenty_times_one_answer(self, gate: redis.Redis) -> None:
        stand()
        answers = through_doors(wishes(*(request(1, id=f"r{n}", key="k") for n in range(20))))
        assert all(answer == answers[0] for answer in answers)
        assert gate.hget(KEYS.line(1), "held") == b"1"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("gate")
class TestTheWholeWay:
    @pytest.mark.parametrize("stock", [1, 7])
    def test_commits_exactly_the_stock_when_five_times_as_many_are_called(self, stock: int) -> None:
        sale = lobby_sale(stock={PHONE: stock}, overbooking=5, max_entries=1000, rate_per_s=100_000)
        people = [Shopper(sale, f"person-{n}") for n in range(5 * stock)]
        for person in people:
            person.enter()
        open_now(sale)
        tend(sale)
        answers = through_doors([wish(person) for person in people])
        assert words(answers) == {"reserved": stock, "sold_out": 4 * stock}
        assert Reservation.objects.filter(state="held").count() == stock
        assert Unit.objects.filter(state="held").count() == stock
        assert broken(sale) == []

    def test_gives_a_double_click_through_several_doors_one_reservation(self) -> None:
        sale, (ani, *_) = self._everywhere(1)
        answers = through_doors([wish(ani)] * 20)
        assert len({answer.id for answer in answers}) == 1
        assert sum(not answer.replayed for answer in answers) == 1
        assert Reservation.objects.count() == 1
        assert broken(sale) == []

    def test_gives_the_same_person_in_four_sales_at_once_one_unit(self) -> None:
        sale, people = self._everywhere(4)
        assert words(through_doors([wish(person) for person in people])) == {"reserved": 1, "limit_reached": 3}
        assert Reservation.objects.exclude(state="abandoned").count() == 1
        assert broken(sale) == []

    def test_is_held_by_the_books_where_the_gate_does_not_look_at_the_limit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sale, people = self._everywhere(4)
        monkeypatch.setattr(scripts, "RESERVE", without(scripts.RESERVE, "limit_refused(request) or "))
        assert words(through_doors([wish(person) for person in people])) == {"reserved": 1, "limit_reached": 3}
        assert Reservation.objects.filter(state="held").count() == 1
        assert broken(sale) == []

    @staticmethod
    def _everywhere(sales: int) -> tuple[Sale, list[Shopper]]:
        """Ani, who is called in several sales of one campaign, each through another channel."""
        campaign = poco_campaign()
        people = []
        for channel in CHANNELS[:sales]:
            sale = lobby_sale(campaign, stock={PHONE: 2}, channels=(channel,), max_entries=1000)
            people.append(Shopper(sale, "ani", channel=channel))
            people[-1].enter()
        for person in people:
            open_now(person.sale)
            tend(person.sale)
        return people[0].sale, people
