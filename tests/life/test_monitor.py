"""The monitor finds a broken promise in what has changed, says which one, and is no part of the sale."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from flashsale import metrics
from flashsale.gate import bridge
from flashsale.gate import metrics as gate_metrics
from flashsale.gate.client import GateDown
from flashsale.life import audit, monitor
from flashsale.life.audit_scope import touched_since
from flashsale.models import Reservation, Sale, SaleCheck
from tests.factories import draft_sale, lobby_sale
from tests.faults.steps import buy, called, dropped
from tests.life import damages
from tests.life.damages import DAMAGES, REFUSED_BY, Damaged

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
POSTGRES = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite notes no writer of a row")

# One or two for each promise and each way to change a row. The tests of the audit have all of them.
TRIED = (
    damages.two_owners, damages.unit_of_an_ended_reservation, damages.unit_taken_away,
    damages.gate_offers_what_never_was, damages.gate_offers_another_version, damages.lost_unit,
    damages.gate_counts_fewer_held, damages.slot_under_another_limit, damages.slot_lost, damages.gate_forgot_a_person,
    damages.another_number, damages.reserved_before_called, damages.returned_without_a_cancellation,
)  # fmt: skip
# What only Redis has wrong, about rows that were not touched, is found when everything is looked at.
BY_THE_WHOLE = {damages.gate_offers_another_version, damages.gate_forgot_a_person}


@pytest.fixture(autouse=True)
def _one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One read is enough, because no message to Redis is on its way in these tests."""
    monkeypatch.setattr(audit, "READS", 1)


def check(sale: Sale) -> monitor.SalePromises:
    (found,) = (one for one in monitor.check_all() if one.sale == sale.pk)
    assert monitor.latest().sales[sale.code] == found
    return found


def look_at_everything() -> None:
    """Lets the time pass after which the monitor looks at everything."""
    SaleCheck.objects.update(whole_at=timezone.now() - monitor.WHOLE_EVERY - timedelta(seconds=1))


@contextmanager
def without_triggers() -> Iterator[None]:
    """No trigger of PostgreSQL runs, as for one who changes rows by hand and does not want to be seen."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield
        finally:
            cursor.execute("RESET session_replication_role")


@pytest.mark.parametrize("damage", TRIED, ids=lambda damage: damage.__name__)
def test_a_damage_is_found_and_stays_found_until_it_is_gone(
    gate: redis.Redis, damage: Callable[[Damaged], object]
) -> None:
    it = Damaged(gate)
    assert check(it.sale).broken == ()
    assert check(it.sale).broken == ()
    with dropped(*REFUSED_BY[damage]) if damage in REFUSED_BY else nullcontext():
        damage(it)
        if damage in BY_THE_WHOLE and connection.vendor == "postgresql":
            assert check(it.sale).broken == ()
            look_at_everything()
        first, second = check(it.sale), check(it.sale)
    assert {fault.promise for fault in first.broken} == DAMAGES[damage]
    assert second.broken == first.broken
    assert first.at == first.broken_since == second.broken_since != second.at
    if damage is damages.gate_counts_fewer_held:
        gate.hincrby(it.keys.line(1), "held", 1)
        healed = check(it.sale)
        assert (healed.broken, healed.broken_since) == ((), None)


@POSTGRES
def test_a_row_that_is_changed_by_hand_without_triggers_breaks_its_promise_at_the_next_check(gate: redis.Redis) -> None:
    it = Damaged(gate)
    check(it.sale)
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute("UPDATE flashsale_reservation SET amount = 1 WHERE id = %s", [it.bought.pk])
    found = check(it.sale)
    texts = {(fault.promise, fault.title): fault.text for fault in found.broken}
    price = f"reservation {it.bought.pk} costs 1, the official price of its units is 1799000"
    assert set(texts) == {(1, "Never oversell")}
    assert price in {fault.text for fault in found.broken}
    assert monitor.latest().sales[it.sale.code].broken == found.broken


@POSTGRES
def test_a_check_reads_what_has_changed_since_the_last_one_and_not_the_whole_sale() -> None:
    sale, (ani, budi, cici) = called("ani", "budi", "cici", stock=4)
    buy(ani)
    buy(budi)
    until = time.monotonic() + 120
    while True:
        check(sale)
        last = SaleCheck.objects.get(sale=sale)
        marks = monitor._marks(last.state)
        assert marks is not None
        nothing = touched_since(sale, marks)
        assert nothing is not None
        if not {*nothing.reservations, *nothing.units}:
            break
        # A transaction of another database on this server is older than the orders, so they count as new once more.
        assert time.monotonic() < until
        time.sleep(0.2)
    mine = cici.reserve()
    touched = touched_since(sale, marks)
    assert touched is not None
    assert set(touched.reservations) == {mine.id}
    assert set(touched.units) == {unit.unit_id for unit in Reservation.objects.get(pk=mine.id).reservation_units.all()}
    whole_at = check(sale).whole_at
    assert (last.whole_at, whole_at) == (whole_at, whole_at)
    look_at_everything()
    assert check(sale).whole_at != whole_at


def test_only_running_sales_are_checked_and_a_thousand_idle_ones_cost_nothing() -> None:
    draft_sale()
    lobby_sale(opens_in_s=3 * 24 * 3600)
    with CaptureQueriesContext(connection) as seen:
        assert monitor.check_all() == []
    # The lock, the sales, the lock.
    assert len(seen) <= 3
    assert SaleCheck.objects.count() == 0
    sale, _ = called("ani")
    assert monitor.latest().unchecked == (sale.code,)
    check(sale)
    assert (monitor.latest().unchecked, list(monitor.latest().sales)) == ((), [sale.code])


@POSTGRES
def test_one_process_at_a_time_checks() -> None:
    sale, _ = called("ani")
    with at_another_connection():
        assert monitor.check_all() == []
        assert SaleCheck.objects.count() == 0
    check(sale)


@contextmanager
def at_another_connection() -> Iterator[None]:
    """Another process checks now."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, 0)", [monitor.MONITOR_LOCK])
        yield
    finally:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, 0)", [monitor.MONITOR_LOCK])
        other.close()


def test_it_measures_for_how_long_each_store_lacks_what_the_other_has(gate: redis.Redis) -> None:
    sale, (ani, budi) = called("ani", "budi", hold_s=600)
    ani.reserve()
    found = check(sale)
    assert (found.gate_behind_s, found.books_behind_s) == (0.0, 0.0)
    # A commit that never came, 7 s after Redis took the unit.
    keys = damages.SaleKeys(sale.campaign_id, sale.pk)
    deadline = int(next(iter(gate.zrange(keys.due, 0, -1, withscores=True)))[1])
    gate.zadd(keys.due, {"00000000-0000-0000-0000-000000000001": deadline - 7000})
    order = buy(budi)
    Reservation.objects.filter(pk=order.pk).update(confirmed_at=timezone.now() - timedelta(seconds=9))
    gate.zadd(keys.due, {str(order.pk): deadline})
    gate.hset(keys.holds, str(order.pk), "key")
    found = check(sale)
    assert 7 <= found.books_behind_s < 60
    assert 9 <= found.gate_behind_s < 60


def test_without_redis_the_last_check_stays_and_its_age_grows(gate: redis.Redis, monkeypatch: Any) -> None:
    sale, _ = called("ani")
    before = check(sale)
    gate.flushall()
    monkeypatch.setattr(audit, "refuse_half_loaded", half_loaded)
    assert monitor.check_all() == []
    assert monitor.latest().sales[sale.code] == before


def half_loaded(_: object) -> None:
    raise GateDown("the sale is being loaded")


def test_signs_of_life_say_when_each_part_worked_last() -> None:
    metrics.forget()
    assert monitor.latest().ages_s == dict.fromkeys(monitor.SIGNS)
    monitor.check_all()
    metrics.sign("tick", int((timezone.now().timestamp() - 30) * 1000))
    bridge.run(gate_metrics.send())
    known = monitor.latest()
    assert known.gate_answers
    assert 30 <= (known.ages_s["tick"] or 0) < 60
    assert 0 <= (known.ages_s["monitor"] or 0) < 30
    assert known.ages_s["beat"] is None


def test_the_command_says_what_holds_what_is_broken_and_what_could_not_be_checked(
    gate: redis.Redis, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Damaged(gate)
    call_command("monitor", "--once")
    assert f"{it.sale.code}: held; Redis is 0.0 s behind, PostgreSQL 0.0 s" in capsys.readouterr().out
    damages.gate_counts_fewer_sold(it)
    with pytest.raises(CommandError, match=rf"^Broken: {it.sale.code}\.$") as error:
        call_command("monitor", "--once")
    assert error.value.returncode == 1
    assert (
        f"  2 Conservation of units: {it.sale.code}/lazada: Redis counts 1 held and 0 sold" in capsys.readouterr().out
    )
    SaleCheck.objects.all().delete()
    monkeypatch.setattr(audit, "refuse_half_loaded", half_loaded)
    with pytest.raises(CommandError, match=f"^Not checked: {it.sale.code}") as error:
        call_command("monitor", "--once")
    assert error.value.returncode == 2
