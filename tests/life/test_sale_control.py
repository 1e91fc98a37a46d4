"""The decisions about a published sale: safe at any moment, safe to repeat, and the promises hold."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone, translation
from redis import Redis

from flashsale.gate import bridge, inspect, scripts
from flashsale.gate.keys import SaleKeys
from flashsale.life import sale_control
from flashsale.life.draw import draw, write_cohorts
from flashsale.life.status import status
from flashsale.models import Allocation, Reservation, Sale, Stock, Unit
from flashsale.models.sale import ms
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import Phase
from tests.factories import PHONE, Shopper, card_of, lobby_sale, move_opening, open_now, refusal, tend
from tests.faults.steps import dying
from tests.races.crowd import closing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def called_person(sale):
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    return ani


def test_postponing_moves_opening_and_closing_and_keeps_places():
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    ani.enter()
    opens, closes = sale.opens_at, sale.closes_at
    later = opens + timedelta(hours=2)
    for _again in range(2):
        sale_control.postpone(sale=sale, opens_at=later, message="Two hours later")
    assert (sale.opens_at, sale.closes_at) == (later, closes + timedelta(hours=2))
    assert (ani.enter().index, ani.entry.created) == (1, False)
    card = card_of(sale)
    assert bridge.run(status(card=card, line=card.lines[0]))["message"] == "Two hours later"


def test_postponing_moves_the_own_opening_of_a_line_in_postgresql_redis_and_card(gate: Redis):
    sale = lobby_sale()
    own = sale.opens_at + timedelta(minutes=5)
    Allocation.objects.filter(sale=sale).update(opens_at=own)
    sale_control.postpone(sale=sale, opens_at=sale.opens_at + timedelta(hours=2))
    later = ms(own + timedelta(hours=2))
    assert ms(Allocation.objects.get(sale=sale).opens_at) == card_of(sale).lines[0].opens_at == later
    assert int(gate.hget(SaleKeys(sale.campaign_id, sale.pk).line(1), "opens")) == later


def test_a_sale_paused_in_its_lobby_can_still_be_postponed_and_given_units_until_its_opening_has_passed():
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    ani.enter()
    sale_control.pause(sale=sale, message="A moment")
    later = sale.opens_at + timedelta(hours=1)
    sale_control.postpone(sale=sale, opens_at=later, message="An hour later")
    stock = Stock.objects.get(allocation__sale=sale)
    sale_control.add_units(stock=stock, quantity=stock.quantity + 1)
    assert (sale.state, sale.opens_at) == ("paused", later)
    assert Unit.objects.filter(allocation__sale=sale).count() == stock.quantity
    sale_control.resume(sale=sale)
    assert sale.phase(ms(timezone.now())) is Phase.LOBBY
    assert (ani.enter().index, ani.entry.created) == (1, False)
    sale_control.pause(sale=sale)
    open_now(sale)
    with pytest.raises(ValidationError):
        sale_control.postpone(sale=sale, opens_at=timezone.now() + timedelta(hours=1))
    assert Unit.objects.filter(allocation__sale=sale).count() == stock.quantity


def test_an_earlier_opening_and_an_opened_sale_cannot_be_postponed():
    sale = lobby_sale()
    with pytest.raises(ValidationError):
        sale_control.postpone(sale=sale, opens_at=sale.opens_at - timedelta(minutes=1))
    open_now(sale)
    with pytest.raises(ValidationError):
        sale_control.postpone(sale=sale, opens_at=timezone.now() + timedelta(hours=1))
    assert Sale.objects.get(pk=sale.pk).revision == sale.revision


def test_a_cohort_frozen_by_an_opening_that_was_moved_is_frozen_again_at_the_new_one():
    sale = lobby_sale()
    ani, budi = Shopper(sale, "ani"), Shopper(sale, "budi")
    ani.enter()
    stale = card_of(sale)
    bridge.run(scripts.apply_decision(stale, revision=1, opens=stale.lobby_at))
    bridge.run(scripts.freeze(stale))
    assert write_cohorts(sale.pk, {1: 1}, {}, timezone.now()) == {}
    assert bridge.run(draw(card=stale)) is False
    sale_control.postpone(sale=sale, opens_at=sale.opens_at + timedelta(hours=1))
    sale_control.postpone(sale=sale, opens_at=sale.opens_at + timedelta(hours=1))
    budi.enter()
    open_now(sale)
    assert Allocation.objects.get(sale=sale).cohort == 2


def test_a_card_read_before_a_decision_never_replaces_the_one_that_came_with_it():
    sale = lobby_sale()
    stale, heard = card_of(sale), Sale.objects.get(pk=sale.pk).revision
    sale_control.brake(sale=sale, rate_per_s=7, poll_ms=30_000)
    bridge.run(scripts.apply_decision(stale, revision=heard, state="published"))
    assert (card_of(sale).rate_per_s, card_of(sale).poll_ms) == (7, 30_000)


@pytest.mark.parametrize("message", ["x" * 201, "é" * 101, "\U0001f642" * 51, '"' * 101])
def test_a_message_too_long_for_the_public_status_is_refused(message):
    before = Sale.objects.filter(pk=lobby_sale().pk).values()
    was = list(before)
    for decide in (sale_control.pause, sale_control.call_off):
        with translation.override("en"), pytest.raises(ValidationError, match="bytes; at most 200"):
            decide(sale=Sale.objects.get(), message=message)
    assert list(before.all()) == was


def test_a_sale_called_off_reserves_no_more_units_and_shows_its_message():
    sale = lobby_sale()
    ani = called_person(sale)
    with pytest.raises(ValidationError):
        sale_control.call_off(sale=sale, message="  ")
    for _again in range(2):
        sale_control.call_off(sale=sale, message="The phones did not arrive.")
    assert refusal(ani.reserve) is Outcome.CALLED_OFF
    assert refusal(Shopper(sale, "budi").enter) is Outcome.CALLED_OFF
    assert set(Unit.objects.values_list("state", flat=True)) == {"free"}
    with pytest.raises(ValidationError):
        sale_control.resume(sale=sale)


def test_closing_early_holds_in_postgresql_even_if_redis_did_not_get_it(monkeypatch: pytest.MonkeyPatch):
    sale = lobby_sale(stock={PHONE: 2})
    ani, budi = Shopper(sale, "ani"), Shopper(sale, "budi")
    ani.enter(), budi.enter()
    open_now(sale)
    tend(sale)
    held = ani.reserve(key="in time")
    dying(monkeypatch, scripts, "apply_decision", lambda: sale_control.close_early(sale=sale))
    assert ani.reserve(key="in time").id == held.id
    assert refusal(budi.reserve) is Outcome.CLOSED
    assert Unit.objects.filter(state="held").count() == Reservation.objects.filter(state="held").count() == 1
    bridge.run(sale_control.resend_decision(card=card_of(sale)))
    assert refusal(budi.reserve) is Outcome.CLOSED


def test_an_open_sale_closes_early_and_a_lobby_does_not():
    sale = lobby_sale()
    with pytest.raises(ValidationError):
        sale_control.close_early(sale=sale)
    ani = called_person(sale)
    for _again in range(2):
        sale_control.close_early(sale=sale)
    assert refusal(ani.reserve) is Outcome.CLOSED


def test_the_brake_slows_pages_and_calling_down():
    sale = lobby_sale()
    sale_control.brake(sale=sale, rate_per_s=2, poll_ms=30_000)
    card = card_of(sale)
    document = bridge.run(status(card=card, line=card.lines[0]))
    assert (document["poll_ms"], card.rate_per_s) == (30_000, 2)
    with pytest.raises(ValidationError):
        sale_control.brake(sale=sale, rate_per_s=0, poll_ms=0)


def test_units_are_added_up_to_a_total_before_the_opening_only():
    sale = lobby_sale(stock={PHONE: 2})
    stock = Stock.objects.get(allocation__sale=sale)
    for _again in range(2):
        sale_control.add_units(stock=stock, quantity=5)
    card = card_of(sale)
    assert Unit.objects.count() == 5
    assert len(bridge.run(inspect.offered_units(card, card.lines[0]))) == 5
    with pytest.raises(ValidationError):
        sale_control.add_units(stock=stock, quantity=4)
    open_now(sale)
    with pytest.raises(ValidationError):
        sale_control.add_units(stock=stock, quantity=9)
    assert Unit.objects.count() == 5


def test_units_are_not_added_by_an_admin_who_waited_over_the_opening():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no row locks")
    sale = lobby_sale()
    move_opening(sale, timezone.now() + timedelta(seconds=1.5))
    stock = Stock.objects.get(allocation__sale=sale)
    add = closing(lambda more: sale_control.add_units(stock=stock, quantity=stock.quantity + more))
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            Sale.objects.select_for_update().get()
            added = thread.submit(add, 1)
            time.sleep(2)
        assert isinstance(added.exception(timeout=120), ValidationError)
    assert Unit.objects.count() == stock.quantity
