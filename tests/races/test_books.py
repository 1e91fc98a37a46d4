"""PostgreSQL alone: its constraints refuse a unit that is given twice and a purchase above the limit."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection

from flashsale.books import reservations
from flashsale.books.reservations import NewReservation, ReservedUnit
from flashsale.models import LimitSlot, Reservation, ReservationUnit, Sale, Unit
from flashsale.rules.outcomes import Outcome
from tests.factories import PHONE, poco_campaign
from tests.faults.steps import broken, dropped
from tests.life.buyers import PRICE
from tests.races.crowd import at_once
from tests.races.lying_gate import LyingGate

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


def commit(*winners: NewReservation) -> list[Outcome]:
    answers = reservations.commit(winners)
    return [answers[winner.id] for winner in winners]


def one_by_one(*winners: NewReservation) -> list[Outcome]:
    return [commit(winner)[0] for winner in winners]


def from_everywhere(*winners: NewReservation) -> list[Outcome]:
    if connection.vendor == "sqlite":
        return one_by_one(*winners)  # SQLite runs one transaction after the other
    return [answers[0] for answers in at_once([partial(commit, winner) for winner in winners])]


WAYS = pytest.mark.parametrize("way", [commit, one_by_one, from_everywhere])
Way = Callable[..., list[Outcome]]


def test_without_its_constraint_a_unit_is_given_to_two(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = LyingGate()
    monkeypatch.setattr(reservations, "take_units", lambda *_, **__: None)
    with dropped(ReservationUnit, "one_active_reservation_per_unit"):
        assert one_by_one(gate.winner(0), gate.winner(1, unit=0)) == [Outcome.RESERVED] * 2
        assert ReservationUnit.objects.filter(unit=gate.units[0], active=True).count() == 2


@WAYS
def test_a_unit_given_to_many_belongs_to_one(way: Way) -> None:
    gate = LyingGate()
    answers = way(*(gate.winner(n, unit=0) for n in range(6)))
    assert sorted(answers) == sorted([Outcome.RESERVED, *[Outcome.OFFER_GONE] * 5])
    assert ReservationUnit.objects.filter(unit=gate.units[0], active=True).count() == 1
    assert Reservation.objects.count() == 1


@WAYS
def test_a_unit_given_to_many_belongs_to_one_by_its_constraint_alone(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = LyingGate()
    monkeypatch.setattr(reservations, "take_units", lambda *_, **__: None)
    answers = way(*(gate.winner(n, unit=0) for n in range(6)))
    assert sorted(answers) == sorted([Outcome.RESERVED, *[Outcome.OFFER_GONE] * 5])
    assert ReservationUnit.objects.filter(active=True).count() == 1


def test_without_its_constraint_one_person_gets_two(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = LyingGate()
    with dropped(LimitSlot, "one_use_of_a_limit_slot"):
        assert one_by_one(gate.winner(0, who="ani"), gate.winner(1, who="ani")) == [Outcome.RESERVED] * 2
        assert LimitSlot.objects.filter(digest="ani", axis="phone").count() == 2


@WAYS
def test_one_person_gets_one_and_no_more(way: Way) -> None:
    gate = LyingGate()
    answers = way(*(gate.winner(n, who="ani") for n in range(6)))
    assert sorted(answers) == sorted([Outcome.RESERVED, *[Outcome.LIMIT_REACHED] * 5])
    assert LimitSlot.objects.filter(digest="ani").count() == 2
    assert Unit.objects.filter(state="held").count() == 1


@WAYS
def test_one_bad_row_refuses_itself_only(way: Way) -> None:
    gate = LyingGate()
    winners = [gate.winner(n) for n in range(5)]
    winners[2] = gate.winner(2, unit=0)
    answers = way(*winners)
    assert (answers.count(Outcome.RESERVED), answers.count(Outcome.OFFER_GONE)) == (4, 1)
    assert {answers[1], answers[3], answers[4]} == {Outcome.RESERVED}


@WAYS
def test_the_same_winner_twice_is_one_reservation(way: Way) -> None:
    gate = LyingGate()
    winner = gate.winner(0)
    if way is commit:
        assert commit(winner) == commit(winner) == [Outcome.RESERVED]
    else:
        assert way(*[winner] * 6) == [Outcome.RESERVED] * 6
    assert Reservation.objects.count() == 1
    assert Unit.objects.filter(state="held").count() == 1


LIES: dict[str, tuple[dict[str, Any], Outcome]] = {
    "a place that has reserved": ({"place": 1}, Outcome.PLACE_SPENT),
    "a key that had an effect": ({"asked": "key-0"}, Outcome.KEY_REUSED),
    "an epoch that is over": ({"epoch": 0}, Outcome.NOT_READY),
    "an epoch that is to come": ({"epoch": 9}, Outcome.NOT_READY),
}


@pytest.mark.parametrize(("fields", "word"), LIES.values(), ids=LIES)
def test_a_lie_is_refused_by_its_word_and_leaves_nothing(fields: dict[str, Any], word: Outcome) -> None:
    gate = LyingGate()
    assert commit(gate.winner(0)) == [Outcome.RESERVED]
    assert commit(gate.winner(1, **fields)) == [word]
    assert (Reservation.objects.count(), ReservationUnit.objects.count(), LimitSlot.objects.count()) == (1, 1, 2)
    assert Unit.objects.filter(state="held").count() == 1


@pytest.mark.parametrize("version", [0, 2])
def test_a_unit_at_another_version_is_refused(version: int) -> None:
    gate = LyingGate()
    assert commit(gate.winner(0, units=(ReservedUnit(gate.units[0].pk, version, PHONE, PRICE),))) == [
        Outcome.OFFER_GONE
    ]
    assert Reservation.objects.count() == 0


def test_a_unit_of_another_line_is_refused() -> None:
    gate, other = LyingGate(), LyingGate(stock=1)
    theirs = Unit.objects.get(allocation=other.line)
    assert commit(gate.winner(0, units=(ReservedUnit(theirs.pk, 1, PHONE, PRICE),))) == [Outcome.OFFER_GONE]
    assert Reservation.objects.count() == 0


def test_a_paused_sale_refuses_everybody() -> None:
    gate = LyingGate()
    Sale.objects.filter(pk=gate.sale.pk).update(state="paused", paused_at=gate.sale.opens_at)
    assert commit(gate.winner(0), gate.winner(1)) == [Outcome.PAUSED] * 2
    assert Reservation.objects.count() == 0


def test_a_reservation_that_was_abandoned_cannot_be_committed_any_more() -> None:
    gate = LyingGate()
    winner = gate.winner(0)
    same = ("id", "sale_id", "allocation_id", "channel_id", "index", "number", "asked", "fingerprint")
    fields = {name: getattr(winner, name.removesuffix("_id")) for name in same} | {"amount": 1, "epoch": 1}
    now = gate.sale.opens_at
    Reservation.objects.create(**fields, quantity=1, deadline_ms=2, made_at=now, state="abandoned", ended_at=now)
    assert commit(winner) == [Outcome.NOT_READY]
    assert commit(gate.winner(1, unit=0, asked="key-0", place=1)) == [Outcome.RESERVED]


def test_two_units_under_a_limit_of_two_take_both_slots() -> None:
    gate = LyingGate(campaign=poco_campaign(limit=2))
    two = tuple(ReservedUnit(unit.pk, 1, PHONE, PRICE) for unit in gate.units[:2])
    answers = one_by_one(gate.winner(0, who="ani", units=two), gate.winner(2, who="ani"))
    assert answers == [Outcome.RESERVED, Outcome.LIMIT_REACHED]
    assert sorted(LimitSlot.objects.filter(axis="phone").values_list("slot", flat=True)) == [1, 2]


def test_what_the_books_take_keeps_their_own_promises() -> None:
    gate = LyingGate()
    commit(*(gate.winner(n, unit=n % 3, who=f"person-{n % 4}") for n in range(8)))
    assert [line for line in broken(gate.sale) if "Redis" not in line and "called" not in line] == []
