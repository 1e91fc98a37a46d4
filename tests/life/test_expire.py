"""Holds that come due together: they end in few transactions, and each as if it had been alone."""

import logging
import time
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flashsale.gate import bridge, inspect, scripts
from flashsale.gate.client import gate as redis_of
from flashsale.life import expire, give_back, sale_control, tick
from flashsale.life.release import release
from flashsale.models import LimitSlot, Reservation, ReservationUnit, Sale, Unit, UnpaidHold
from flashsale.rules.outcomes import Outcome
from tests.factories import PHONE, Shopper, card_of, poco_campaign, refusal, tend
from tests.faults.steps import Died, broken, buy, called, come_due, dies_at, in_books, in_gate, reap

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


def held(count: int) -> tuple[Sale, list[Shopper]]:
    """A sale all of whose units are held and due, in the order of the people's numbers."""
    sale, people = called(*(f"person-{n}" for n in range(count)), stock=count)
    people.sort(key=lambda person: person.number())
    for person in people:
        person.reserve()
    return sale, people


def unpaid_in_gate(sale: Sale) -> list[int]:
    """How many holds the gate counts as unpaid, by digest."""
    key = scripts.keys_of(card_of(sale)).unpaid

    async def counts() -> list[bytes]:
        return list(await redis_of().redis.hvals(key))

    return sorted(int(count) for count in bridge.run(counts()))


def freed(count: int) -> dict[str, object]:
    """What the gate counts when all units are free again."""
    return {"offered": count, "held": 0, "sold": 0, "used": []}


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many holds each batch was about; two at most."""
    monkeypatch.setattr(expire, "NO_MORE_AFTER_S", 60.0)  # a busy machine needs longer for a batch
    sizes: list[int] = []
    end = expire.end_in_books

    def counted(card, taken, now_ms):
        sizes.append(len(taken))
        return end(card, taken, now_ms)

    monkeypatch.setattr(expire, "AT_ONCE", 2)
    monkeypatch.setattr(expire, "end_in_books", counted)
    return sizes


def test_holds_that_come_due_together_end_together() -> None:
    sale, people = held(5)
    come_due(sale)
    assert [reap(sale), reap(sale)] == [5, 0]
    assert in_books() == {"units": ["free"] * 5, "reservations": ["expired"] * 5, "claims": 0}
    assert set(Unit.objects.values_list("version", flat=True)) == {3}
    assert ReservationUnit.objects.filter(active=True).count() == 0
    assert len(set(Reservation.objects.values_list("ended_at", flat=True))) == 1
    assert len(set(UnpaidHold.objects.values_list("reservation", "axis", "digest"))) == 10
    card = card_of(sale)
    assert bridge.run(inspect.offered_units(card, card.lines[0])) == dict(Unit.objects.values_list("pk", "version"))
    assert in_gate(sale) == freed(5)
    assert unpaid_in_gate(sale) == [1] * 10
    assert {refusal(person.reserve) for person in people} == {Outcome.EXPIRED}
    assert broken(sale) == []


def test_units_of_one_hold_go_back_together() -> None:
    sale, (ani, budi) = called("ani", "budi", stock=6, campaign=poco_campaign(limit=3))
    ani.reserve((PHONE, 3))
    budi.reserve((PHONE, 2))
    come_due(sale)
    assert reap(sale) == 2
    assert in_books() == {"units": ["free"] * 6, "reservations": ["expired"] * 2, "claims": 0}
    assert sorted(Unit.objects.values_list("version", flat=True)) == [1, 3, 3, 3, 3, 3]
    assert UnpaidHold.objects.count() == 4
    assert in_gate(sale) == freed(6)
    assert broken(sale) == []


def test_more_than_a_batch_ends_in_one_look(batches: list[int]) -> None:
    sale, _ = held(5)
    come_due(sale)
    assert reap(sale) == 5
    assert batches == [2, 2, 1]
    assert in_gate(sale) == freed(5)


def test_a_look_that_has_taken_its_time_leaves_the_rest_to_the_next(
    batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expire, "NO_MORE_AFTER_S", -1)
    sale, _ = held(5)
    come_due(sale)
    assert [reap(sale) for _ in range(4)] == [2, 2, 1, 0]
    assert batches == [2, 2, 1]
    assert in_gate(sale) == freed(5)
    assert broken(sale) == []


def test_each_of_a_batch_becomes_what_the_books_say_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sale, people = called(*(f"person-{n}" for n in range(5)), stock=5)
    paid, lost, given, first, second = people
    dies_at(monkeypatch, "confirm: confirmed", lambda: buy(paid))
    dies_at(monkeypatch, "reserve: taken", lost.reserve)
    back = given.reserve().id
    dies_at(monkeypatch, "release: ended", lambda: release(reservation=back, channel=given.channel.id))
    holds = {first.reserve().id, second.reserve().id}
    come_due(sale)
    assert [reap(sale), reap(sale)] == [5, 0]
    assert in_books() == {
        "units": ["free"] * 4 + ["sold"],
        "reservations": ["abandoned", "confirmed", "expired", "expired", "released"],
        "claims": 2,
    }
    assert set(Reservation.objects.filter(state="expired").values_list("pk", flat=True)) == holds
    assert set(UnpaidHold.objects.values_list("reservation", flat=True)) == holds
    assert set(LimitSlot.objects.values_list("reservation__state", flat=True)) == {"confirmed"}
    assert in_gate(sale) == {"offered": 4, "held": 0, "sold": 1, "used": [1, 1]}
    assert unpaid_in_gate(sale) == [1] * 4
    assert lost.reserve().replayed is False
    assert broken(sale) == []


def test_a_hold_that_is_not_due_in_the_books_stays_while_the_others_end() -> None:
    sale, people = held(3)
    kept = Reservation.objects.order_by("number").first()
    come_due(sale)
    Reservation.objects.filter(pk=kept.pk).update(deadline_ms=kept.deadline_ms)
    assert [reap(sale), reap(sale)] == [2, 0]
    assert in_gate(sale) == {"offered": 2, "held": 1, "sold": 0, "used": [1, 1]}
    assert buy(people[0]).state == "confirmed"
    assert broken(sale) == []


def test_a_hold_that_the_tables_refuse_to_end_keeps_only_itself_and_is_asked_again_a_minute_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, _ = held(5)
    bad = Reservation.objects.order_by("pk")[2]
    Unit.objects.filter(reservation_units__reservation=bad).update(state="sold")
    come_due(sale)
    assert [reap(sale), reap(sale)] == [4, 0]
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + expire.REFUSED_S)
    assert reap(sale) == 0
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == [f"a hold cannot be ended: {bad.pk}"] * 2
    assert in_books() == {"units": ["free"] * 4 + ["sold"], "reservations": ["expired"] * 4 + ["held"], "claims": 2}
    assert in_gate(sale) == {"offered": 4, "held": 1, "sold": 0, "used": [1, 1]}


def test_a_whole_batch_that_the_tables_refuse_to_end_does_not_hold_up_those_behind_it(batches: list[int]) -> None:
    sale, _ = held(5)
    bad = [row.pk for row in Reservation.objects.order_by("pk")[:2]]
    Unit.objects.filter(reservation_units__reservation__in=bad).update(state="sold")
    come_due(sale)
    assert [reap(sale), reap(sale)] == [3, 0]
    assert set(Reservation.objects.filter(state="held").values_list("pk", flat=True)) == set(bad)
    assert batches == [2, 1, 1, 2, 1]
    assert in_gate(sale) == {"offered": 3, "held": 2, "sold": 0, "used": [1] * 4}


def test_ends_that_the_gate_has_missed_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sale, people = held(5)
    ids = list(Reservation.objects.values_list("pk", flat=True))
    with monkeypatch.context() as patch:
        patch.setattr("flashsale.life.release.give_back", _lost)
        for id_ in ids:
            release(reservation=id_, channel=people[0].channel.id)
    assert in_gate(sale) == {"offered": 0, "held": 5, "sold": 0, "used": [1] * 10}
    card = card_of(sale)
    asked, ended = [], give_back._describe_ended
    monkeypatch.setattr(give_back, "_describe_ended", lambda ids: asked.append(len(ids)) or ended(ids))
    monkeypatch.setattr(give_back, "AT_ONCE", 3)
    assert [bridge.run(give_back.resend_ended(card=card)) for _ in range(2)] == [5, 0]
    assert asked == [3, 2]
    assert in_gate(sale) == freed(5)
    assert broken(sale) == []


def test_a_hold_that_outlived_its_sale_ends_before_the_sale_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick, "CLOSE_AFTER_MS", 0)
    sale, _ = held(1)
    sale_control.close_early(sale=sale)
    tend(sale)
    assert Sale.objects.get().state == "published"
    come_due(sale)
    tend(sale)
    assert in_books() == {"units": ["free"], "reservations": ["expired"], "claims": 0}
    assert Sale.objects.get().state == "closed"


async def _lost(**_: object) -> None:
    """A message that never arrives."""


class TestDyingAfterTheBooksEndedABatch:
    def test_continues_with_each_of_it_at_the_next_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, _ = held(4)
        come_due(sale)
        dies_at(monkeypatch, "expire: ended", lambda: reap(sale))
        assert in_books() == {"units": ["free"] * 4, "reservations": ["expired"] * 4, "claims": 0}
        assert in_gate(sale) == {"offered": 0, "held": 4, "sold": 0, "used": [1] * 8}
        assert [reap(sale), reap(sale)] == [4, 0]
        self._ended_once(sale)

    def test_continues_with_those_that_the_gate_has_not_heard_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, _ = held(4)
        come_due(sale)
        tell, told = give_back.give_back, []

        async def two(**fields):
            told.append(fields["ended"])
            if len(told) > 2:
                raise Died
            await tell(**fields)

        with monkeypatch.context() as patch:
            patch.setattr(expire, "give_back", two)
            with pytest.raises(Died):
                reap(sale)
        assert in_gate(sale) == {"offered": 2, "held": 2, "sold": 0, "used": [1] * 4}
        assert [reap(sale), reap(sale)] == [2, 0]
        self._ended_once(sale)

    def _ended_once(self, sale: Sale) -> None:
        assert set(Unit.objects.values_list("version", flat=True)) == {3}
        assert in_gate(sale) == freed(4)
        assert unpaid_in_gate(sale) == [1] * 8
        assert broken(sale) == []


def test_a_batch_asks_the_books_as_often_as_one_hold_does() -> None:
    assert _questions(5) == _questions(1)


def _questions(count: int) -> int:
    """How often the books are asked to end so many holds."""
    sale, _ = held(count)
    come_due(sale)
    card = card_of(sale)
    found: Any = bridge.run(scripts.due(card, most=count))
    now_ms, due = found
    with CaptureQueriesContext(connection) as asked:
        met = expire.end_in_books(card, {UUID(id_): due[id_] for id_ in due}, now_ms)
    assert len(met.ended) == count
    return len(asked)
