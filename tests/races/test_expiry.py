"""Deadline and payment, or two reapers, at the same moment: a unit has one owner, and an end counts once."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from flashsale.books import endings, reservations
from flashsale.books.endings import abandon_all
from flashsale.gate import scripts
from flashsale.life import confirm, expire, settle
from flashsale.models import PaymentAttempt, Reservation, Sale, Unit, UnpaidHold
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, refusal, tend
from tests.faults.steps import apart, broken, called, come_due, in_gate, money_astray, pay, reap, the_payment
from tests.gate.floor import CARD, FIRST, KEYS, SMALL, request, reserve, stand
from tests.races.crowd import at_once, closing, through_doors, without
from tests.races.lying_gate import LyingGate

books = pytest.mark.django_db(transaction=True)
pytestmark = pytest.mark.usefixtures("gate")


def expires_while_paying(sale: Sale, monkeypatch: pytest.MonkeyPatch, next_one: Shopper) -> None:
    """Between the charge and its row in PostgreSQL, the hold expires and the unit goes to the next number."""
    begin = payments.provider.begin

    def meanwhile() -> None:
        come_due(sale)
        reap(sale)
        tend(sale)
        next_one.reserve()

    async def slowly(asked: payments.Attempt) -> Any:
        paid = await begin(asked)
        await asyncio.to_thread(apart, meanwhile)
        return paid

    monkeypatch.setattr(payments.provider, "begin", slowly)


async def confirm_blindly(*, reference: str, standing: payments.Standing, **_: Any) -> settle.Settled:
    """Confirms without the lock, without the check of the state, and without the versions of the units."""
    assert standing.state == "paid"
    return await asyncio.to_thread(apart, _confirm_blindly, reference)


def _confirm_blindly(reference: str) -> settle.Settled:
    attempt = PaymentAttempt.objects.get(reference=reference)
    reservation = attempt.reservation_id
    held = Reservation.objects.get(pk=reservation).reservation_units.values_list("unit_id", flat=True)
    Unit.objects.filter(pk__in=list(held)).update(state="sold")
    now = timezone.now()
    Reservation.objects.filter(pk=reservation).update(state="confirmed", confirmed_at=now, ended_at=None)
    return settle.Settled(Reservation.objects.get(pk=reservation), attempt)


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
        assert the_payment(held.id).payment_state == "refunded"
        assert sorted(Reservation.objects.values_list("state", flat=True)) == ["expired", "held"]
        assert money_astray() == []
        assert broken(sale) == []

    def test_belongs_to_exactly_one_side_when_both_come_at_once(self) -> None:
        sale, people = called(*(f"person-{n}" for n in range(6)), stock=6)
        held = {person.name: person.reserve().id for person in people}
        # In Redis they are due. In PostgreSQL the buyer can pay until a process has ended the hold.
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
@pytest.mark.parametrize("at_once_most", [2, 100], ids=["in batches", "in one batch"])
def test_four_reapers_at_once_end_each_hold_once(monkeypatch: pytest.MonkeyPatch, at_once_most: int) -> None:
    monkeypatch.setattr(expire, "AT_ONCE", at_once_most)
    sale, people = called(*(f"person-{n}" for n in range(9)), stock=9)
    for person in people:
        person.reserve()
    come_due(sale)
    answers = at_once([lambda: [reap(sale) for _ in range(3)]] * 4)
    assert [answer for answer in answers if not isinstance(answer, list)] == []
    reap(sale)
    assert Reservation.objects.filter(state="expired").count() == 9
    assert set(Unit.objects.values_list("version", flat=True)) == {3}
    assert UnpaidHold.objects.count() == 18
    assert in_gate(sale) == {"offered": 9, "held": 0, "sold": 0, "used": []}
    assert broken(sale) == []


def _waits(count: int) -> None:
    """Returns when so many transactions of PostgreSQL wait for a lock."""
    until = time.monotonic() + 120
    with connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0] == count:
                return
            time.sleep(0.01)
    raise AssertionError(f"not {count} transactions wait")


@books
class TestABatchWithAHoldThatIsLocked:
    @pytest.fixture
    def sale(self, gate: redis.Redis, transactional_db: None) -> Sale:  # noqa: ARG002 - both must be there first
        sale, people = called(*(f"person-{n}" for n in range(4)), stock=4)
        for person in people:
            person.reserve()
        come_due(sale)
        return sale

    def test_waits_for_it_where_it_skips_nothing(self, sale: Sale, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = Reservation.objects.select_for_update()
        monkeypatch.setattr(expire, "_unlocked", lambda ids: rows.filter(pk__in=list(ids)).order_by("pk"))
        with ThreadPoolExecutor(1) as thread:
            with transaction.atomic():
                Reservation.objects.select_for_update().order_by("pk").first()
                ended = thread.submit(reap, sale)
                _waits(1)
                assert Reservation.objects.filter(state="expired").count() == 0
            assert ended.result(timeout=120) == 4

    def test_ends_the_others_at_once_and_that_one_later(self, sale: Sale) -> None:
        with transaction.atomic():
            busy = Reservation.objects.select_for_update().order_by("pk").first()
            assert reap(sale) == 3
            assert list(Reservation.objects.filter(state="held")) == [busy]
        assert [reap(sale), reap(sale)] == [1, 0]
        assert in_gate(sale) == {"offered": 4, "held": 0, "sold": 0, "used": []}
        assert broken(sale) == []


@books
class TestReservationsThatAreCommittedWhileTheyAreWrittenOff:
    """Writer and reaper each lock rows up to the middle one, and both wait there for a third transaction."""

    def _meet(self) -> tuple[list[Any], LyingGate]:
        gate = LyingGate()
        first, middle, last = winners = sorted((gate.winner(n) for n in range(3)), key=lambda winner: winner.id)
        with ThreadPoolExecutor(2) as threads:
            with transaction.atomic():
                abandon_all([expire._row(middle)], now=timezone.now())
                acts = [threads.submit(closing(reservations.commit), [last, middle, first])]
                _waits(1)
                acts.append(threads.submit(closing(_write_off), [expire._row(winner) for winner in winners]))
                _waits(2)
                transaction.set_rollback(True)
            return [act.exception(timeout=120) for act in acts], gate

    def test_block_each_other_where_they_are_written_in_two_orders(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endings, "sorted", lambda rows, key: sorted(rows, key=key, reverse=True), raising=False)
        errors, _ = self._meet()
        assert [type(error) for error in errors if error] == [OperationalError]

    def test_are_all_held_or_all_abandoned_in_one_order(self) -> None:
        errors, gate = self._meet()
        assert errors == [None, None]
        states = list(Reservation.objects.filter(sale=gate.sale).values_list("state", flat=True))
        assert states in (["held"] * 3, ["abandoned"] * 3)


@transaction.atomic
def _write_off(rows: list[Reservation]) -> None:
    abandon_all(rows, now=timezone.now())


def _ends(times: int) -> list[Any]:
    what: dict[str, Any] = {"reservation": "r1", "frees_limit": True, "units": [(1, 3, SMALL)]}
    return [lambda: scripts.give_back(CARD, FIRST, **what)] * times


def test_an_end_told_at_once_by_many_counts_more_than_once_without_its_guard(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand()
    reserve(request(1))
    monkeypatch.setattr(scripts, "GIVE_BACK", without(scripts.GIVE_BACK, "redis.call('HDEL', KEYS[6], ARGV[2])\n"))
    through_doors(_ends(8))
    assert int(gate.hget(KEYS.line(1), "sold")) < 0


def test_an_end_told_at_once_by_many_counts_once(gate: redis.Redis) -> None:
    stand()
    reserve(request(1))
    through_doors(_ends(8))
    assert gate.hmget(KEYS.line(1), ["held", "sold"]) == [b"0", b"0"]
    assert set(gate.hvals(KEYS.used_campaign)) == {b"0"}
