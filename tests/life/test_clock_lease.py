"""The line's clock runs only while Redis and PostgreSQL both answer. An outage costs shoppers no time."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, scripts
from flashsale.gate.client import GateDown, gate
from flashsale.gate.keys import SaleKeys
from flashsale.life import clock_lease, sale_control, tick
from flashsale.life.audit_events import unlike_events
from flashsale.life.audit_scope import Scope
from flashsale.models import Clock, Reservation, Sale
from flashsale.models.sale import ms
from flashsale.rules.outcomes import Outcome
from flashsale.rules.wall_clock import WALL_CLOCK
from tests.factories import Shopper, card_of, lobby_sale, move_opening, refusal, tend
from tests.faults.steps import broken, buy, called, dying
from tests.races.crowd import at_once, closing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
# However slow the machine is, the line's clock goes on by a lease at most until the next renewal.
LEASE_MS = 400


@pytest.fixture(autouse=True)
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in (clock_lease, sale_control):
        monkeypatch.setattr(verb, "CLOCK_LEASE_MS", LEASE_MS)
    monkeypatch.setattr(clock_lease, "CLOCK_RENEWAL_MS", 100)


def clocks(sale: Sale) -> tuple[int, int]:
    """The line's clock in Redis and in PostgreSQL."""
    card = card_of(sale)
    figures = bridge.run(scripts.survey(card, card.lines[0]))
    assert not isinstance(figures, Outcome)
    return figures.now, Sale.objects.get(pk=sale.pk).line_ms(figures.wall)


def wait_until_stopped(sale: Sale) -> int:
    """Waits until the clock stands, and a while longer. Returns what the clock shows."""
    time.sleep(0.5)
    first = clocks(sale)
    time.sleep(0.2)
    assert first == clocks(sale)
    assert first[0] == first[1]
    return first[0]


def passed_ms(since: float) -> int:
    """The time since then on the monotonic clock, in milliseconds, rounded up."""
    return int(1000 * (time.monotonic() - since)) + 1


def move_wall_clock_back(sale: Sale, ms: int) -> None:
    """Simulates that the wall clock of Redis goes back: moves all times that the sale has stored forward instead."""
    Sale.objects.filter(pk=sale.pk).update(paused_ms=F("paused_ms") + ms)
    Clock.objects.filter(sale=sale).update(runs_from_ms=F("runs_from_ms") + ms, runs_until_ms=F("runs_until_ms") + ms)
    bridge.run(_move_gate_clock_back(SaleKeys(sale.campaign_id, sale.pk).state, ms))


async def _move_gate_clock_back(key: str, ms: int) -> None:
    for field in ("paused_ms", "runs_from", "runs_until"):
        await gate().redis.hincrby(key, field, ms)


def test_without_ticks_the_clock_stands_in_both_stores_and_no_unit_is_reserved():
    sale, (ani, budi) = called("ani", "budi")
    ani.reserve()
    wait_until_stopped(sale)
    assert refusal(budi.reserve) is Outcome.NOT_READY


def test_the_clock_goes_on_from_where_it_stood_so_that_windows_and_holds_keep_their_time():
    sale, (ani, budi) = called("ani", "budi", claim_s=4, hold_s=4)
    held = ani.reserve()
    stood = wait_until_stopped(sale)
    move_wall_clock_back(sale, -60_000)
    assert clocks(sale) == (stood, stood)
    tend(sale)
    gate, books = clocks(sale)
    assert gate == books
    assert stood <= gate <= stood + LEASE_MS
    assert held.deadline_ms > gate
    assert budi.reserve().replayed is False
    assert buy(ani).state == "confirmed"
    assert broken(sale) == []


@pytest.mark.parametrize("ticks_in_pause", [True, False])
def test_an_outage_during_a_pause_is_subtracted_once(ticks_in_pause: bool):
    sale, _ = called("ani")
    before, _ = clocks(sale)
    sale_control.pause(sale=sale)
    stood = wait_until_stopped(sale)
    assert stood - before <= LEASE_MS
    if ticks_in_pause:
        tend(sale)
        assert wait_until_stopped(sale) == stood
    sale_control.resume(sale=sale)
    assert wait_until_stopped(sale) - stood <= LEASE_MS
    tend(sale)
    gate, books = clocks(sale)
    assert gate == books >= stood


def test_a_renewal_that_did_not_reach_redis_is_sent_by_the_next_tick_and_the_clock_never_goes_back(monkeypatch):
    sale, _ = called("ani")
    stood = wait_until_stopped(sale)
    dying(monkeypatch, scripts, "extend_lease", lambda: tend(sale))
    assert clocks(sale)[0] == stood
    time.sleep(0.2)
    tend(sale)
    gate, books = clocks(sale)
    assert gate == books >= stood


@pytest.mark.parametrize("back_ms", [1_500, 3_600_000])
def test_a_wall_clock_that_goes_back_takes_the_lines_clock_no_further_back_than_its_last_renewal(
    back_ms: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for verb in (clock_lease, sale_control):
        monkeypatch.setattr(verb, "CLOCK_LEASE_MS", 60_000)
    began = time.monotonic()
    sale, (ani, budi) = called("ani", "budi")
    first = ani.reserve()
    at_renewal, _ = clocks(sale)
    move_wall_clock_back(sale, back_ms)
    gate_now, books_now = clocks(sale)
    assert gate_now == books_now
    assert at_renewal - passed_ms(began) <= gate_now <= at_renewal
    assert (ani.look().state, budi.look().state) == ("spent", "called")
    assert budi.reserve().deadline_ms >= first.deadline_ms - passed_ms(began)
    tend(sale)
    tend(sale)
    assert "wall clock of Redis went back" in caplog.text
    stood, _ = clocks(sale)
    time.sleep(0.1)
    gate_now, books_now = clocks(sale)
    assert gate_now == books_now
    assert stood < gate_now < at_renewal + passed_ms(began)
    assert Clock.objects.get(sale=sale).runs_until_ms <= time.time() * 1000 + 60_000
    assert broken(sale) == []


@pytest.mark.parametrize("counted_from_asking", [False, True])
def test_an_answer_that_waits_in_a_busy_process_does_not_make_the_clock_run_ahead(
    counted_from_asking: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clock_lease, "CLOCK_LEASE_MS", 600_000)
    sale, _ = called("ani")
    tend(sale)
    card = card_of(sale)
    figures: Any = bridge.run(scripts.survey(card, card.lines[0]))
    before, _ = clocks(sale)
    # Another process has renewed the lease while this answer waited for 150 s.
    old = replace(figures, wall=figures.wall - 150_000, runs_until=figures.wall + 150_000)
    asked_at = time.monotonic() - (150 if counted_from_asking else 0)
    bridge.run(clock_lease.renew_clock_lease(card=card, figures=old, asked_at=asked_at))
    gate_now, books_now = clocks(sale)
    assert gate_now == books_now
    # Otherwise, the clock jumps: this is what happened when the age of an answer counted from its reading.
    assert ("went back" in caplog.text, gate_now - before > 100_000) == (
        not counted_from_asking,
        not counted_from_asking,
    )


@contextmanager
def machine_with_wrong_clock(by: timedelta) -> Iterator[None]:
    """Runs the block in a new process, on a machine whose clock is wrong. The wall clock of Redis is right."""
    right, right_s = timezone.now, time.time
    WALL_CLOCK.forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", lambda: right() + by)
        patch.setattr(time, "time", lambda: right_s() + by.total_seconds())
        yield


@pytest.mark.parametrize("gate_answers", [True, False])
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_pause_and_a_resume_from_a_machine_with_a_wrong_clock_do_not_move_the_lines_clock(
    hours: int, gate_answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sale_control, "CLOCK_LEASE_MS", 600_000)
    sale, (ani, budi) = called("ani", "budi")
    held = ani.reserve()
    before, _ = clocks(sale)
    if not gate_answers:
        monkeypatch.setattr(sale_control, "wall_ms", _gate_down)
    for decide in (sale_control.pause, sale_control.resume):
        with machine_with_wrong_clock(timedelta(hours=hours)):
            decide(sale=sale)
        gate_now, books_now = clocks(sale)
        assert gate_now == books_now
        assert abs(gate_now - before) < 200_000
        assert (ani.look().state, budi.look().state) == ("spent", "called")
    tend(sale)
    gate_now, books_now = clocks(sale)
    assert gate_now == books_now < held.deadline_ms
    assert budi.reserve().replayed is False
    assert Reservation.objects.filter(state="held").count() == 2
    assert broken(sale) == []


async def _gate_down() -> int:
    raise GateDown


def test_a_renewal_that_waits_for_a_row_lock_longer_than_a_lease_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sale, _ = called("ani")
    stood = wait_until_stopped(sale)
    began = time.monotonic()
    lock, late = lock_sale, []

    def held_up(*args: Any, **fields: Any) -> Any:
        """The row was locked for a long time. Meanwhile the ticks of another process have restarted the clock."""
        monkeypatch.setattr(clock_lease, "lock_sale", lock)
        late.append(1)
        at_once([lambda: [tend(sale) or time.sleep(0.1) for _ in range(20)]])
        return lock(*args, **fields)

    monkeypatch.setattr(clock_lease, "lock_sale", held_up)
    tend(sale)
    assert late == [1]
    assert "went back" not in caplog.text
    gate_now, books_now = clocks(sale)
    assert gate_now == books_now < stood + passed_ms(began) + LEASE_MS


def test_a_lease_from_before_a_decision_is_not_applied_after_it() -> None:
    sale, _ = called("ani")
    card, row = card_of(sale), Sale.objects.get(pk=sale.pk)
    stale: dict[str, Any] = {"revision": row.revision, "lease": row.lease._replace(until=row.lease.until + 60_000)}
    sale_control.pause(sale=sale)
    stood = clocks(sale)
    bridge.run(scripts.extend_lease(card, **stale, mark=0))
    time.sleep(0.1)
    assert clocks(sale) == stood
    clock_lease._renew_in_books(sale.pk, int(time.time() * 1000), 0, time.monotonic())
    assert clocks(sale) == stood


def test_a_sale_called_off_in_a_pause_goes_on_from_where_its_clock_stood() -> None:
    sale, (ani, _) = called("ani", "budi")
    held = ani.reserve()
    sale_control.pause(sale=sale)
    stood = wait_until_stopped(sale)
    sale_control.call_off(sale=sale, message="No phones.")
    assert clocks(sale) == (stood, stood)
    tend(sale)
    gate_now, books_now = clocks(sale)
    assert stood <= gate_now == books_now <= stood + LEASE_MS < held.deadline_ms


def test_the_time_that_a_resume_waits_for_a_lock_is_not_lost_for_shoppers() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no row locks")
    sale, _ = called("ani")
    sale_control.pause(sale=sale)
    stood = clocks(sale)
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            Sale.objects.select_for_update().get(pk=sale.pk)
            resumed = thread.submit(closing(lambda sale: sale_control.resume(sale=sale)), Sale.objects.get(pk=sale.pk))
            time.sleep(0.6)
        resumed.result(timeout=120)
    assert clocks(sale)[0] <= stood[0] + LEASE_MS


def test_a_sale_paused_over_its_opening_opens_when_it_goes_on_and_may_be_closed_at_once() -> None:
    sale = lobby_sale()
    Shopper(sale, "ani").enter()
    sale_control.pause(sale=sale)
    move_opening(sale)
    opens = sale.opens_at
    tend(sale)
    assert clocks(sale) == (ms(opens), ms(opens))
    sale.refresh_from_db()
    assert sale.frozen_at is not None, "the lines are drawn although the sale is paused"
    assert [*unlike_events(Scope.whole(sale.campaign))] == [], "so the event sale.opened comes after sale.paused"
    for decide in (sale_control.resume, sale_control.close_early):
        decide(sale=sale)
    assert ms(sale.closes_at) >= ms(opens) + 1
    assert sale.is_over(timezone.now())


@pytest.mark.parametrize("gate_answers", [True, False])
def test_a_sale_that_has_opened_is_not_postponed_by_an_admin_whose_clock_is_behind(
    gate_answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, _ = called("ani")
    if not gate_answers:
        monkeypatch.setattr(sale_control, "wall_ms", _gate_down)
    with machine_with_wrong_clock(timedelta(hours=-1)), pytest.raises(ValidationError):
        sale_control.postpone(sale=sale, opens_at=timezone.now() + timedelta(hours=3))


def test_a_process_with_an_old_sale_card_does_not_start_the_clock_before_a_later_opening():
    sale = lobby_sale()
    stale = replace(card_of(sale), opens_at=ms(timezone.now()) - 1)
    sale_control.postpone(sale=sale, opens_at=sale.opens_at + timedelta(hours=1))
    bridge.run(tick.tick_sale(card=stale))
    assert not Clock.objects.filter(sale=sale, runs_until_ms__gt=0).exists()
    assert Sale.objects.get(pk=sale.pk).paused_ms == 0


def test_an_outage_over_the_opening_costs_shoppers_no_time() -> None:
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    ani.enter()
    move_opening(sale, timezone.now() - timedelta(hours=3))
    assert clocks(sale) == (ms(sale.opens_at),) * 2
    for _again in range(2):
        tend(sale)
    assert 0 <= clocks(sale)[0] - ms(sale.opens_at) < 60_000
    assert (ani.look().state, ani.reserve().replayed) == ("called", False)
