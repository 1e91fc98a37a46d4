"""The line's clock runs only while somebody sees gate and books answer; what stood still costs nobody anything."""

import time

import pytest

from flashsale.gate import bridge, scripts
from flashsale.life import beat, control
from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome
from tests.factories import card_of, tend
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
