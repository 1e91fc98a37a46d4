"""Deadline against payment, reaper against reaper: a unit has one owner, an end counts once."""

from typing import Any

import pytest
import redis
from django.utils import timezone

from flashsale.gate import scripts
from flashsale.life import confirm
from flashsale.models import Payment, Reservation, Sale, Unit
from flashsale.providers import payment
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, tend
from tests.faults.steps import broken, called, come_due, in_gate, money_astray, pay, reap, refusal
from tests.gate.floor import CARD, FIRST, KEYS, SMALL, ask, reserve, stand
from tests.races.crowd import at_once, through_doors, without

books = pytest.mark.django_db(transaction=True)
pytestmark = pytest.mark.usefixtures("gate")


def expires_while_paying(sale: Sale, monkeypatch: pytest.MonkeyPatch, next_one: Shopper) -> None:
    """Between the charge and its entry in the books the hold expires and the unit goes to the next number."""
    charge = payment.provider.charge

    def slowly(**fields: Any) -> Any:
        paid = charge(**fields)
        come_due(sale)
        reap(sale)
        tend(sale)
        next_one.reserve()
        return paid

    monkeypatch.setattr(payment.provider, "charge", slowly)


def confirm_blindly(*, reference: str, paid: bool) -> Reservation:
    """What confirming would be without a lock, a look at the state, and the units' versions."""
    assert paid
    reservation = reference.partition("/")[0]
    held = Reservation.objects.get(pk=reservation).holdings.values_list("unit_id", flat=True)
    Unit.objects.filter(pk__in=list(held)).update(state="sold")
    now = timezone.now()
    Reservation.objects.filter(pk=reservation).update(state="confirmed", confirmed_at=now, ended_at=None)
    return Reservation.objects.get(pk=reservation)


@books
class TestAHoldThatExpiresWhileItsBuyerPays:
    def test_has_two_owners_without_the_guard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, (ani, budi) = called("ani", "budi", stock=1)
        first, second = (ani, budi) if ani.number() == 1 else (budi, ani)
        held = first.reserve()
        expires_while_paying(sale, monkeypatch, second)
        monkeypatch.setattr(confirm, "settle", confirm_blindly)
        assert pay(first, held.id).state == "confirmed"
        assert Reservation.objects.filter(state__in=["held", "confirmed"]).count() == 2
        assert broken(sale) != []

    def test_goes_to_the_next_number_and_the_money_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sale, (ani, budi) = called("ani", "budi", stock=1)
        first, second = (ani, budi) if ani.number() == 1 else (budi, ani)
        held = first.reserve()
        expires_while_paying(sale, monkeypatch, second)
        assert refusal(pay, first, held.id) is Outcome.EXPIRED
        assert Payment.objects.get(reservation=held.id).state == "refunded"
        assert sorted(Reservation.objects.values_list("state", flat=True)) == ["expired", "held"]
        assert money_astray() == []
        assert broken(sale) == []

    def test_belongs_to_exactly_one_side_when_both_come_at_once(self) -> None:
        sale, people = called(*(f"person-{n}" for n in range(6)), stock=6)
        held = {person.name: person.reserve().id for person in people}
        # The gate finds them due; in the books there is time to pay until somebody has ended the hold.
        _due_in_gate_only(sale)
        Reservation.objects.update(deadline_ms=int(timezone.now().timestamp() * 1000) + 150)
        at_once(
            [lambda person=person: pay(person, held[person.name]) for person in people]
            + [lambda: [reap(sale) for _ in range(12)]] * 2
        )
        come_due(sale)
        reap(sale)
        states = list(Reservation.objects.values_list("state", flat=True))
        sold = states.count("confirmed")
        assert sold + states.count("expired") == 6
        assert in_gate(sale) == {"offered": 6 - sold, "held": 0, "sold": sold, "used": [1] * (2 * sold)}
        assert broken(sale) == []


def _due_in_gate_only(sale: Sale) -> None:
    deadlines = dict(Reservation.objects.values_list("pk", "deadline_ms"))
    come_due(sale)
    for reservation, deadline in deadlines.items():
        Reservation.objects.filter(pk=reservation).update(deadline_ms=deadline)


@books
def test_four_reapers_at_once_end_each_hold_once() -> None:
    sale, people = called(*(f"person-{n}" for n in range(5)), stock=5)
    for person in people:
        person.reserve()
    come_due(sale)
    at_once([lambda: reap(sale)] * 4)
    assert Reservation.objects.filter(state="expired").count() == 5
    assert set(Unit.objects.values_list("version", flat=True)) == {3}
    assert in_gate(sale) == {"offered": 5, "held": 0, "sold": 0, "used": []}
    assert broken(sale) == []


def _ends(times: int) -> list[Any]:
    what = {"reservation": "r1", "frees_limit": True, "units": [(1, 3, SMALL)]}
    return [lambda: scripts.give(CARD, FIRST, **what)] * times


def test_an_end_told_at_once_by_many_counts_more_than_once_without_its_guard(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand()
    reserve(ask(1))
    monkeypatch.setattr(scripts, "GIVE", without(scripts.GIVE, "redis.call('HDEL', KEYS[6], ARGV[2])\n"))
    through_doors(_ends(8))
    assert int(gate.hget(KEYS.line(1), "sold")) < 0


def test_an_end_told_at_once_by_many_counts_once(gate: redis.Redis) -> None:
    stand()
    reserve(ask(1))
    through_doors(_ends(8))
    assert gate.hmget(KEYS.line(1), ["held", "sold"]) == [b"0", b"0"]
    assert set(gate.hvals(KEYS.used_campaign)) == {b"0"}
