"""Enter, leave, draw and call: one place for each identity, in an order that anyone can check."""

import time

import pytest

from flashsale.gate import bridge
from flashsale.life.leave import leave
from flashsale.life.look import PlaceView, look
from flashsale.life.sale_control import pause, resume
from flashsale.life.status import status
from flashsale.models import Allocation, Sale
from flashsale.rules import lottery
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState
from tests.factories import PHONE, Shopper, card_of, let_pass, lobby_sale, open_now, poco_campaign, refusal, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def crowd(sale: Sale, size: int, **where: str) -> list[Shopper]:
    people = [Shopper(sale, f"person-{n}", **where) for n in range(size)]
    for person in people:
        person.enter()
    return people


def view(person: Shopper) -> PlaceView:
    return bridge.run(look(card=person.card, line=person.line, place=person.place))


def go(person: Shopper) -> None:
    bridge.run(leave(card=person.card, line=person.line, place=person.place))


def test_entering_again_with_the_same_proof_gives_the_same_place():
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    first, again = ani.enter(), ani.enter()
    assert (first.index, first.created) == (1, True)
    assert (again.index, again.created) == (1, False)


def test_places_have_no_number_before_the_draw():
    sale = lobby_sale()
    (ani,) = crowd(sale, 1)
    seen = view(ani)
    assert (seen.number, seen.state, seen.cohort) == (None, PlaceState.WAITING, None)
    assert refusal(ani.reserve) is Outcome.NOT_OPEN


def test_a_person_with_a_place_in_another_channels_line_is_refused():
    sale = lobby_sale(channels=("lazada", "akulaku"))
    Shopper(sale, "ani").enter()
    assert refusal(Shopper(sale, "ani", channel="akulaku").enter) is Outcome.PLACE_ELSEWHERE


def test_a_person_who_left_another_channels_line_may_enter_this_one():
    sale = lobby_sale(channels=("lazada", "akulaku"))
    ani = Shopper(sale, "ani")
    ani.enter()
    go(ani)
    assert Shopper(sale, "ani", channel="akulaku").enter().created


def test_coming_back_before_the_draw_restores_the_place():
    sale = lobby_sale()
    ani, *_ = crowd(sale, 3)
    go(ani)
    assert view(ani).state is PlaceState.LEFT
    assert (ani.enter().index, ani.entry.created) == (1, False)
    assert view(ani).state is PlaceState.WAITING


def test_coming_back_after_the_draw_gives_a_place_at_the_end_three_times_at_most():
    sale = lobby_sale(stock={PHONE: 1})
    people = crowd(sale, 3)
    open_now(sale)
    waiting = max(people, key=lambda person: view(person).number or 0)
    for index in (4, 5, 6):
        go(waiting)
        assert waiting.enter().index == index
    go(waiting)
    assert refusal(waiting.enter) is Outcome.PLACE_LEFT


def test_numbers_follow_from_the_committed_secret():
    sale = lobby_sale()
    people = crowd(sale, 20)
    open_now(sale)
    line = Allocation.objects.get(sale=sale)
    sale.refresh_from_db()
    assert lottery.commitment(sale.draw_secret()).hex() == sale.commitment
    assert lottery.seed(sale.draw_secret(), "lazada", 20).hex() == line.seed
    numbers = [view(person).number for person in people]
    assert numbers == [lottery.number(n, 20, bytes.fromhex(line.seed)) for n in range(1, 21)]
    assert sorted(numbers) == list(range(1, 21))


def test_people_who_enter_after_the_opening_stand_behind_the_cohort():
    sale = lobby_sale()
    crowd(sale, 5)
    open_now(sale)
    late = Shopper(sale, "late")
    assert late.enter().index == 6
    assert view(late).number == 6


def test_calling_never_promises_more_than_is_free_and_lapsed_claims_go_to_the_next_number():
    sale = lobby_sale(stock={PHONE: 2}, claim_s=60)
    people = crowd(sale, 6)
    open_now(sale)
    tend(sale)
    by_number = sorted(people, key=lambda person: view(person).number or 0)
    assert [view(person).state for person in by_number] == ["called", "called", *["waiting"] * 4]
    tend(sale)
    assert view(by_number[2]).state is PlaceState.WAITING
    let_pass(sale, seconds=60)
    tend(sale)
    assert [view(person).state for person in by_number] == [
        "lapsed",
        "lapsed",
        "called",
        "called",
        "waiting",
        "waiting",
    ]
    assert refusal(by_number[0].reserve) is Outcome.LAPSED
    assert refusal(by_number[5].reserve) is Outcome.NOT_CALLED


def test_no_more_claims_are_open_at_once_than_the_sale_allows():
    sale = lobby_sale(stock={PHONE: 5}, claims_max=2)
    people = crowd(sale, 5)
    open_now(sale)
    in_order = sorted(people, key=lambda person: view(person).number or 0)
    for reserved in range(4):
        tend(sale)
        called = [person for person in in_order if view(person).state is PlaceState.CALLED]
        assert called == in_order[reserved : reserved + 2]
        called[0].reserve()
        time.sleep(0.21)


def test_calling_skips_people_who_left():
    sale = lobby_sale(stock={PHONE: 2})
    people = crowd(sale, 6)
    left_early = people[3]
    go(left_early)
    open_now(sale)
    by_number = sorted(people, key=lambda person: view(person).number or 0)
    present = [person for person in by_number if person is not left_early]
    tend(sale)
    assert [view(person).state for person in present] == ["called", "called", "waiting", "waiting", "waiting"]
    go(present[0])
    tend(sale)
    assert view(present[2]).state is PlaceState.CALLED


def test_a_pause_stops_reserving_and_the_claim_window_waits():
    sale = lobby_sale(stock={PHONE: 1}, claim_s=6)
    (ani,) = crowd(sale, 1)
    open_now(sale)
    tend(sale)
    pause(sale=sale)
    assert refusal(ani.reserve) is Outcome.PAUSED
    time.sleep(6.2)
    resume(sale=sale)
    assert ani.reserve().replayed is False


def test_a_person_whose_limit_is_used_up_cannot_enter_any_sale_of_the_campaign():
    campaign = poco_campaign()
    sale, other = lobby_sale(campaign), lobby_sale(campaign)
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    ani.reserve()
    assert refusal(Shopper(other, "ani").enter) is Outcome.LIMIT_REACHED


def test_another_device_gets_the_place_that_an_order_was_made_with():
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    order = ani.reserve(key="k")
    device = Shopper(sale, "ani")
    assert (device.enter().index, device.entry.created) == (1, False)
    assert device.look().state is PlaceState.SPENT
    again = device.reserve(key="k")
    assert (again.id, again.replayed) == (order.id, True)
    assert refusal(device.reserve, key="more") is Outcome.PLACE_SPENT


def test_a_person_who_left_does_not_come_back_once_their_limit_is_used_up():
    campaign = poco_campaign()
    sale, other = lobby_sale(campaign), lobby_sale(campaign)
    ani = Shopper(other, "ani")
    ani.enter()
    go(ani)
    buyer = Shopper(sale, "ani")
    buyer.enter()
    open_now(sale)
    tend(sale)
    buyer.reserve()
    assert refusal(ani.enter) is Outcome.LIMIT_REACHED
    assert ani.look().state is PlaceState.LEFT


def test_entering_before_the_lobby_opens_is_refused():
    sale = lobby_sale(opens_in_s=3 * 86_400)
    assert refusal(Shopper(sale, "ani").enter) is Outcome.NOT_OPEN


def test_the_status_document_is_the_same_for_everyone_and_small():
    sale = lobby_sale(stock={PHONE: 3})
    crowd(sale, 2)
    card = card_of(sale)
    document = bridge.run(status(card=card, line=card.lines[0]))
    assert (document["phase"], document["entered"], document["free"], document["seed"]) == ("lobby", 2, 3, "")
    assert document["commitment"] == Sale.objects.get(pk=sale.pk).commitment
