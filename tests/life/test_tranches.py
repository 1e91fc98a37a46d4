"""Tranches: lists, later openings, units that roll over, and old numbers that are carried over."""

import time
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.life import sale_control, status
from flashsale.life.leave import leave
from flashsale.life.schedule import publish
from flashsale.models import Allocation, Move, Sale
from flashsale.models.sale import ms
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState
from tests.factories import (
    PHONE,
    Shopper,
    card_of,
    draft_sale,
    forget,
    identity,
    let_pass,
    lobby_sale,
    open_now,
    poco_campaign,
    refusal,
    roll_over_now,
    tend,
)  # fmt: skip
from tests.life.tranches import carried_sales, carry, held_promises, line, offered, rolling_sale, sale_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def status_of(sale, code):
    card = card_of(sale)
    return bridge.run(status.status(card=card, line=card.line(code)))


def test_only_people_on_the_list_enter_a_listed_line():
    ani = (Axis.EMAIL, identity("ani")[Axis.EMAIL].upper())
    sale = sale_of(line("wronged", 2, listed=[ani]))
    assert Shopper(sale, "ani", line="wronged").enter().created
    assert refusal(Shopper(sale, "budi", line="wronged").enter) is Outcome.NOT_ELIGIBLE


@pytest.mark.parametrize("listed", [[], [(Axis.DEVICE, "nobody proves it at the door")]])
def test_a_list_with_no_person_who_can_enter_cannot_be_published(listed):
    with pytest.raises(ValidationError):
        publish(sale=draft_sale(lines=[line("wronged", 2, listed=listed)]))


def sleep_until(moment):
    time.sleep(max(0, (moment - timezone.now()).total_seconds()) + 0.1)


def test_postponing_also_moves_a_roll_over_so_that_people_on_the_list_still_come_first():
    opens = timezone.now() + timedelta(hours=1)
    listed = [(Axis.EMAIL, identity("ani")[Axis.EMAIL])]
    first = line("wronged", 1, listed=listed, successor="public", rolls_over_at=opens + timedelta(hours=1))
    sale = sale_of(first, line("public", 0, channel="akulaku"), opens_at=opens, closes_at=opens + timedelta(hours=4))
    ani = Shopper(sale, "ani", line="wronged")
    ani.enter()
    for _again in range(2):
        sale_control.postpone(sale=sale, opens_at=opens + timedelta(hours=3))
    moved = opens + timedelta(hours=4)
    assert Allocation.objects.get(code="wronged").rolls_over_at == moved
    assert card_of(sale).line("wronged").rolls_over_at == ms(moved)
    open_now(sale)
    tend(sale)
    assert (offered(sale, "wronged"), offered(sale, "public"), ani.look().state) == (1, 0, PlaceState.CALLED)


def test_a_line_that_opens_later_calls_later_but_is_drawn_with_the_sale():
    opens = timezone.now() + timedelta(seconds=2)
    sale = sale_of(
        line("first", 1), line("later", 1, channel="akulaku", opens_at=opens + timedelta(seconds=4)),
        opens_at=opens, closes_at=opens + timedelta(hours=1),
    )  # fmt: skip
    ani, budi = Shopper(sale, "ani", line="first"), Shopper(sale, "budi", channel="akulaku", line="later")
    ani.enter(), budi.enter()
    sleep_until(opens)
    tend(sale)
    tend(sale)
    assert (ani.look().state, budi.look().state) == (PlaceState.CALLED, PlaceState.WAITING)
    assert budi.number() == 1
    assert refusal(budi.reserve) in {Outcome.NOT_OPEN, Outcome.NOT_CALLED}
    # The line's clock began with the first tick of the sale, a little after the opening.
    sleep_until(opens + timedelta(seconds=4, milliseconds=Sale.objects.get(pk=sale.pk).paused_ms))
    tend(sale)
    assert budi.look().state is PlaceState.CALLED
    assert budi.reserve().amount == 1_799_000


def test_unclaimed_units_roll_over_once_and_open_claims_keep_their_unit():
    sale = rolling_sale(4)
    ani, budi = Shopper(sale, "ani", line="first"), Shopper(sale, "budi", channel="akulaku", line="public")
    ani.enter(), budi.enter()
    open_now(sale)
    tend(sale)
    assert (ani.look().state, budi.look().state) == (PlaceState.CALLED, PlaceState.WAITING)
    for _again in range(3):
        roll_over_now(sale)
    assert (offered(sale, "first"), offered(sale, "public")) == (1, 3)
    assert (status_of(sale, "first")["coming"], status_of(sale, "public")["coming"]) == (0, 1)
    assert Move.objects.filter(cancellation=None).count() == 3
    assert ani.reserve().amount == 1_799_000
    assert budi.reserve().amount == 1_799_000
    held_promises()


def test_kept_units_roll_over_when_their_claims_end():
    sale = rolling_sale(1, claim_s=60)
    Shopper(sale, "ani", line="first").enter()
    budi = Shopper(sale, "budi", channel="akulaku", line="public")
    budi.enter()
    open_now(sale)
    tend(sale)
    roll_over_now(sale)
    assert (offered(sale, "first"), offered(sale, "public")) == (1, 0)
    let_pass(sale, seconds=60)
    tend(sale)
    tend(sale)
    assert (offered(sale, "first"), offered(sale, "public")) == (0, 1)
    assert budi.look().state is PlaceState.CALLED
    held_promises()


def test_a_successor_must_sell_the_same():
    opens = timezone.now() + timedelta(hours=1)
    lines = [
        line("first", 1, successor="public", rolls_over_at=opens),
        {"code": "public", "channels": ["akulaku"], "stock": {"POCO-M3-6-128": 1}},
    ]
    with pytest.raises(ValidationError, match="POCO-M3-4-64"):
        publish(sale=draft_sale(lines=lines, opens_at=opens, closes_at=opens + timedelta(hours=1)))


def test_old_places_keep_their_numbers_and_calling_skips_those_not_shown():
    people, rerun = carried_sales()
    winner, second, third, fourth, fifth = people
    for person in (third, fifth, fourth):
        assert carry(person, rerun).index == person.number()
    assert carry(third, rerun).created is False
    assert refusal(carry, winner, rerun) is Outcome.LIMIT_REACHED
    open_now(rerun)
    tend(rerun)
    seen = {}
    for person in (third, fourth, fifth):
        again = Shopper(rerun, person.name, line="carried")
        again.entry = carry(person, rerun)
        seen[person.number()] = (again.number(), again.look().state)
    assert seen == {3: (3, "called"), 4: (4, "called"), 5: (5, "waiting")}
    assert refusal(carry, second, rerun) is Outcome.NOT_ELIGIBLE
    held_promises()


@pytest.mark.parametrize("forgotten", [False, True], ids=["while the gate knows the old sale", "after it was closed"])
def test_a_place_given_up_after_the_draw_carries_only_the_number_at_the_end(forgotten):
    campaign = poco_campaign()
    first = lobby_sale(campaign, stock={PHONE: 1})
    people = [Shopper(first, f"person-{n}") for n in range(3)]
    for person in people:
        person.enter()
    open_now(first)
    person = max(people, key=lambda person: person.number())
    given_up = person.entry.token
    bridge.run(leave(card=person.card, line=person.line, place=person.place))
    assert person.enter().index == 4
    place = person.entry.token
    sale_control.close_early(sale=first)
    if forgotten:
        forget(first)
    rerun = sale_of(line("carried", 2, carries=Allocation.objects.get(sale=first)), campaign=campaign)
    again = Shopper(rerun, person.name, line="carried")
    assert refusal(carry, again, rerun, given_up) is Outcome.NOT_ELIGIBLE
    assert carry(again, rerun, place).index == 4
    assert carry(again, rerun, given_up).index == 4


def test_a_carried_line_refuses_people_without_an_old_place_of_their_own():
    people, rerun = carried_sales()
    assert refusal(Shopper(rerun, "stranger", line="carried").enter) is Outcome.NOT_ELIGIBLE
    assert refusal(carry, people[1], rerun, people[2].entry.token) is Outcome.FOREIGN_TOKEN
    assert refusal(carry, people[1], rerun, "fs1.nonsense") is Outcome.BAD_TOKEN


def test_the_table_refuses_a_roll_over_without_a_time():
    sale = draft_sale(lines=[line("first", 1), line("public", 1, channel="akulaku")])
    first, public = sale.allocations.order_by("line_id")
    with pytest.raises(IntegrityError, match="roll_over_has_a_time"):
        Allocation.objects.filter(pk=first.pk).update(successor=public)
