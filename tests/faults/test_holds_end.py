"""Holds end in PostgreSQL while Redis cannot start, and Redis learns of it when it is back."""

import asyncio
from typing import Any

import pytest
import redis
from django.db import connection, transaction  # noqa: F401 - what a mark below asks
from django.db.models import F
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.life import expire_without_gate, sale_control, tick
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.expire_without_gate import LOOK_S, Watch
from flashsale.models import Clock, PaymentAttempt, Reservation, Sale, Unit, UnpaidHold
from flashsale.rules.outcomes import Outcome
from simulation.redis_server import RedisServer
from tests.factories import Shopper, refusal, tend
from tests.faults.steps import broken, called, in_gate, pay, recover, wipe
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.books]
HOLD_S = 900


class Seconds:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    clock = Seconds()
    monkeypatch.setattr(expire_without_gate, "WATCH", Watch(clock))
    return clock


def looks(seconds: Seconds, upto_s: float) -> int:
    """A process looks every LOOK_S for so long. Returns how many holds it ended."""
    ended = 0
    for _ in range(int(upto_s / LOOK_S)):
        ended += expire_without_gate.expire_without_gate()
        seconds.now += LOOK_S
    return ended


def states(sale: Sale) -> list[str]:
    return sorted(Reservation.objects.filter(sale=sale).values_list("state", flat=True))


def held(*, stock: int = 2) -> tuple[Sale, Shopper, Shopper]:
    """A sale whose clock has stood since now, and its two people. The first one called holds a unit."""
    sale, people = called("ani", "budi", stock=stock)
    first, second = sorted(people, key=lambda person: person.number())
    first.reserve()
    wall = int(timezone.now().timestamp() * 1000)
    Clock.objects.filter(sale=sale).update(runs_until_ms=wall)
    return sale, first, second


def test_a_hold_ends_by_its_deadline_and_a_minute_while_redis_cannot_start(
    server: RedisServer, seconds: Seconds
) -> None:
    sale, _, _ = held()
    server.kill()
    assert looks(seconds, HOLD_S) == 0
    assert states(sale) == ["held"]
    assert looks(seconds, 60) == 1
    assert states(sale) == ["expired"]
    assert list(Unit.objects.values_list("state", flat=True)) == ["free", "free"]
    assert UnpaidHold.objects.count() == 2


def test_a_hold_that_was_due_when_redis_was_lost_ends_at_the_first_look(server: RedisServer, seconds: Seconds) -> None:
    sale, _, _ = held()
    server.kill()
    Reservation.objects.update(deadline_ms=1)
    assert expire_without_gate.expire_without_gate() == 1
    assert expire_without_gate.expire_without_gate() == 0
    assert states(sale) == ["expired"]


@pytest.mark.parametrize("forgets", [False, True], ids=["the same redis is back", "redis has lost everything"])
def test_redis_learns_of_the_end_when_it_is_back(server: RedisServer, seconds: Seconds, forgets: bool) -> None:
    sale, first, second = held(stock=1)
    assert looks(seconds, HOLD_S + 60) == 1  # Redis is there, but this process cannot reach it
    if forgets:
        wipe(server.port)
        recover(sale)
        second.look()
    else:
        assert in_gate(sale)["held"] == 1
        bridge.run(tick.mend_all())
    assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 0, "used": []}
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        assert sorted(client.hvals(f"fs:{{{sale.campaign_id}}}:unpaid")) == [b"1", b"1"]
    assert refusal(first.reserve) is Outcome.EXPIRED
    for _ in range(2):
        tend(sale)
    assert second.reserve().replayed is False
    assert broken(sale) == []


def test_a_buyer_can_pay_until_then_and_not_afterwards(server: RedisServer, seconds: Seconds) -> None:
    _, first, second = held()
    kept = second.reserve().id
    server.kill()
    assert looks(seconds, HOLD_S) == 0
    assert pay(first, Reservation.objects.order_by("made_at")[0].pk).state == "confirmed"
    assert looks(seconds, 60) == 1
    assert refusal(pay, second, kept) is Outcome.EXPIRED
    assert PaymentAttempt.objects.count() == 1


def test_holds_wait_in_a_pause_however_long_it_is(server: RedisServer, seconds: Seconds) -> None:
    sale, _, _ = held()
    sale_control.pause(sale=sale)
    assert looks(seconds, 3 * HOLD_S) == 0
    assert states(sale) == ["held"]


def test_an_outage_in_which_postgresql_was_away_too_ends_no_hold(server: RedisServer, seconds: Seconds) -> None:
    sale, _, _ = held()
    server.kill()
    assert looks(seconds, HOLD_S / 2) == 0
    seconds.now += 3600  # no look, because PostgreSQL did not answer or this process stood still
    assert looks(seconds, HOLD_S / 2) == 0
    assert states(sale) == ["held"]


def test_while_ticks_renew_the_clock_no_hold_ends_before_its_deadline(server: RedisServer, seconds: Seconds) -> None:
    sale, _, _ = held()
    begin = Clock.objects.get(sale=sale).runs_until_ms
    for n in range(int(HOLD_S / LOOK_S)):
        Clock.objects.filter(sale=sale).update(runs_until_ms=begin + int(n * LOOK_S * 1000) + 5000)
        assert expire_without_gate.expire_without_gate() == 0
        seconds.now += LOOK_S
    assert states(sale) == ["held"]


def test_a_hold_that_the_tables_refuse_to_end_keeps_no_other_from_ending(server: RedisServer, seconds: Seconds) -> None:
    _, _, second = held()
    second.reserve()
    bad = Reservation.objects.order_by("made_at")[0]
    Unit.objects.filter(reservation_units__reservation=bad).update(state="free", version=F("version") + 1)
    Reservation.objects.update(deadline_ms=1)
    assert expire_without_gate.expire_without_gate() == 1
    assert Reservation.objects.get(pk=bad.pk).state == "held"


def test_the_ticks_of_a_process_run_it_although_redis_is_away(server: RedisServer, monkeypatch: Any) -> None:
    sale, _, _ = held()
    server.kill()
    Reservation.objects.update(deadline_ms=1)
    monkeypatch.setattr(tick, "LOOK_S", 0.05)

    async def some_ticks() -> None:
        stop = asyncio.Event()
        ticking = asyncio.create_task(tick.run_ticks(stop=stop))
        for _ in range(200):
            await asyncio.sleep(0.05)
            if await run_in_db_thread(states, sale) == ["expired"]:
                break
        stop.set()
        await ticking

    bridge.run(some_ticks())
    assert states(sale) == ["expired"]


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no row locks")
def test_a_sale_whose_row_is_locked_does_not_delay_the_holds_of_others(server: RedisServer, seconds: Seconds) -> None:
    stuck, _, _ = held()
    other, _, _ = held()
    Reservation.objects.update(deadline_ms=1)
    assert stuck.pk < other.pk
    with transaction.atomic():
        Sale.objects.select_for_update().get(pk=stuck.pk)
        (ended,) = at_once([expire_without_gate.expire_without_gate])
    assert (ended, states(stuck), states(other)) == (1, ["held"], ["expired"])
    assert expire_without_gate.expire_without_gate() == 1
