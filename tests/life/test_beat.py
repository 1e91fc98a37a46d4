"""The line's clock runs only while somebody sees gate and books answer; what stood still costs nobody anything."""

import time
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from flashsale.gate import bridge, scripts
from flashsale.gate.client import gate
from flashsale.gate.keys import SaleKeys
from flashsale.life import admit, beat, control
from flashsale.models import Clock, Sale
from flashsale.rules.outcomes import Outcome
from tests.factories import card_of, lobby_sale, tend
from tests.faults.steps import broken, buy, called, dying, refusal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.fixture(autouse=True)
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in (beat, control):
        monkeypatch.setattr(verb, "LEASE_MS", 400)
    monkeypatch.setattr(beat, "BEAT_MS", 100)


def clocks(sale: Sale) -> tuple[int, int]:
    """What the line's clock shows in the gate and in the books."""
    card = card_of(sale)
    figures = bridge.run(scripts.survey(card, card.lines[0]))
    assert not isinstance(figures, Outcome)
    return figures.now, Sale.objects.get(pk=sale.pk).line_ms(figures.wall)


def stopped(sale: Sale) -> int:
    """Waits until the clock stands, and long enough that a window would have passed; what it shows."""
    time.sleep(0.5)
    first = clocks(sale)
    time.sleep(0.2)
    assert first == clocks(sale)
    assert first[0] == first[1]
    return first[0]


def went_back(sale: Sale, ms: int) -> None:
    """The gate's wall clock has gone back so far: whatever the sale has noted of it was noted by a later clock."""
    Sale.objects.filter(pk=sale.pk).update(paused_ms=F("paused_ms") + ms)
    Clock.objects.filter(sale=sale).update(runs_from_ms=F("runs_from_ms") + ms, runs_until_ms=F("runs_until_ms") + ms)
    bridge.run(_gate_went_back(SaleKeys(sale.campaign_id, sale.pk).state, ms))


async def _gate_went_back(key: str, ms: int) -> None:
    for field in ("paused_ms", "runs_from", "runs_until"):
        await gate().redis.hincrby(key, field, ms)


def test_nobody_looks_and_the_clock_stands_for_gate_and_books_and_nothing_is_reserved():
    sale, (ani, budi) = called("ani", "budi")
    ani.reserve()
    stopped(sale)
    assert refusal(budi.reserve) is Outcome.NOT_READY


def test_the_clock_goes_on_from_where_it_stood_so_that_windows_and_holds_keep_their_time():
    sale, (ani, budi) = called("ani", "budi", claim_s=1, hold_s=1)
    held = ani.reserve()
    stood = stopped(sale)
    tend(sale)
    gate, books = clocks(sale)
    assert gate == books
    assert stood <= gate < stood + 300
    assert held.deadline_ms > gate
    assert budi.reserve().replayed is False
    assert buy(ani).state == "confirmed"
    assert broken(sale) == []


@pytest.mark.parametrize("looked_after", [True, False])
def test_an_outage_and_a_pause_at_once_are_not_taken_off_twice(looked_after: bool):
    sale, _ = called("ani")
    before, _ = clocks(sale)
    control.pause(sale=sale)
    stood = stopped(sale)
    assert stood - before < 300
    if looked_after:
        tend(sale)
        assert stopped(sale) == stood
    control.resume(sale=sale)
    assert stopped(sale) - stood < 700
    tend(sale)
    gate, books = clocks(sale)
    assert gate == books >= stood


def test_a_beat_whose_message_to_the_gate_was_lost_is_told_by_the_next_and_the_clock_never_goes_back(monkeypatch):
    sale, _ = called("ani")
    stood = stopped(sale)
    dying(monkeypatch, scripts, "beat", lambda: tend(sale))
    assert clocks(sale)[0] == stood
    time.sleep(0.2)
    tend(sale)
    gate, books = clocks(sale)
    assert gate == books >= stood


@pytest.mark.parametrize("back_ms", [1_500, 3_600_000])
def test_a_wall_clock_that_goes_back_takes_the_lines_clock_no_further_than_its_last_beat(
    back_ms: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for verb in (beat, control):
        monkeypatch.setattr(verb, "LEASE_MS", 5000)
    sale, (ani, budi) = called("ani", "budi", claim_s=2, hold_s=2)
    first = ani.reserve()
    at_beat, _ = clocks(sale)
    went_back(sale, back_ms)
    gate_now, books_now = clocks(sale)
    assert gate_now == books_now
    assert at_beat - 500 < gate_now <= at_beat
    assert (ani.look().state, budi.look().state) == ("spent", "called")
    assert budi.reserve().deadline_ms >= first.deadline_ms - 500
    tend(sale)
    tend(sale)
    assert "wall clock went back" in caplog.text
    stood, _ = clocks(sale)
    time.sleep(0.1)
    gate_now, books_now = clocks(sale)
    assert gate_now == books_now
    assert stood < gate_now < at_beat + 1000
    assert Clock.objects.get(sale=sale).runs_until_ms <= time.time() * 1000 + 5000
    assert broken(sale) == []


def test_a_door_that_has_not_heard_of_a_later_opening_does_not_start_the_clock():
    opens = timezone.now() + timedelta(seconds=0.5)
    sale = lobby_sale(opens_at=opens, closes_at=opens + timedelta(hours=1))
    stale = card_of(sale)
    control.postpone(sale=sale, opens_at=opens + timedelta(hours=1))
    time.sleep(0.6)
    bridge.run(admit.tend(card=stale))
    assert not Clock.objects.filter(sale=sale, runs_until_ms__gt=0).exists()
    assert Sale.objects.get(pk=sale.pk).paused_ms == 0
