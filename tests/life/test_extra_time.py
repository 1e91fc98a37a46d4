"""Extra time for people who need it, and rate limits. Both are bounded and take nothing from other people."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from flashsale.gate import bridge, messages, scripts
from flashsale.gate.keys import SaleKeys
from flashsale.gate.messages import Caller
from flashsale.life import extra_time
from flashsale.life.enter import digest_identity, enter
from flashsale.life.leave import leave
from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PlaceState
from flashsale.rules.token_buckets import TokenBucket
from tests.factories import PHONE, Shopper, card_of, channel_of, identity, let_pass, lobby_sale, open_now, refusal, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def request_extra_time(person):
    bridge.run(extra_time.extra_time(card=person.card, line=person.line, place=person.place))


def crowd(sale, size):
    people = [Shopper(sale, f"person-{n}") for n in range(size)]
    for n, person in enumerate(people):
        if n % 20 == 0:
            tend(sale)  # adds a block of indexes
        person.enter()
    return people


def test_extra_time_doubles_the_claim_window_and_the_unit_stays_for_its_owner():
    sale = lobby_sale(stock={PHONE: 1}, claim_s=60)
    people = crowd(sale, 3)
    for person in people:
        request_extra_time(person)
        request_extra_time(person)
    open_now(sale)
    tend(sale)
    first, second, _ = sorted(people, key=lambda person: person.number())
    let_pass(sale, seconds=60)
    tend(sale)
    tend(sale)
    assert (first.look().state, second.look().state) == (PlaceState.CALLED, PlaceState.WAITING)
    let_pass(sale, seconds=60)
    tend(sale)
    tend(sale)
    assert (first.look().state, second.look().state) == (PlaceState.LAPSED, PlaceState.CALLED)


def figures_of(sale):
    async def survey(card):
        return await scripts.survey(card, card.lines[0])

    return bridge.run(survey(card_of(sale)))


def called_after(sale, *, windows):
    """How many people a line has called after some claim windows in which none of them reserved."""
    open_now(sale)
    for _ in range(windows):
        tend(sale)
        tend(sale)
        let_pass(sale, seconds=sale.claim_s)
    return figures_of(sale).called


@pytest.mark.parametrize(
    ("share", "called"), [(10, 20 + 18 * 3), (100, 40)], ids=["a tenth may wait", "the control: all units may wait"]
)
def test_a_line_in_which_everybody_asks_calls_only_a_tenth_fewer_people(share: int, called: int):
    sale = lobby_sale(stock={PHONE: 20}, claim_s=60, extra_time_share=share)
    for person in crowd(sale, 100):
        request_extra_time(person)
    assert called_after(sale, windows=4) == called


def test_a_line_in_which_nobody_asks_calls_one_person_for_each_unit_in_each_window():
    sale = lobby_sale(stock={PHONE: 20}, claim_s=60)
    crowd(sale, 100)
    assert called_after(sale, windows=4) == 80


def test_in_the_second_window_a_person_takes_no_unit_from_a_person_in_the_first():
    sale = lobby_sale(stock={PHONE: 5}, claim_s=60)
    people = crowd(sale, 12)
    for person in people:
        request_extra_time(person)
    open_now(sale)
    tend(sale)
    people.sort(key=lambda person: person.number())
    let_pass(sale, seconds=60)
    tend(sale)
    tend(sale)
    early, later = people[:5], people[5:9]
    assert {person.look().state for person in early + later} == {PlaceState.CALLED}
    assert people[9].look().state is PlaceState.WAITING
    # One unit is kept for the five in their second window, four are for the four in their first.
    assert early[0].reserve().amount == 1_799_000
    before = free_units(sale)
    assert refusal(early[1].reserve) is Outcome.NO_MORE_TIME
    assert free_units(sale) == before == 4
    assert [person.reserve().amount for person in later] == [1_799_000] * 4
    assert refusal(early[1].reserve) is Outcome.SOLD_OUT


def test_in_the_second_window_a_unit_that_another_person_does_not_take_is_free_for_those_who_wait():
    sale = lobby_sale(stock={PHONE: 5}, claim_s=60)
    people = crowd(sale, 9)
    for person in people:
        request_extra_time(person)
    open_now(sale)
    tend(sale)
    people.sort(key=lambda person: person.number())
    let_pass(sale, seconds=60)
    tend(sale)
    tend(sale)
    assert people[0].reserve().amount == 1_799_000
    assert refusal(people[1].reserve) is Outcome.NO_MORE_TIME
    bridge.run(leave(card=people[5].card, line=people[5].line, place=people[5].place))
    assert people[1].reserve().amount == 1_799_000


def free_units(sale):
    return sum(figures_of(sale).free.values())


def test_a_place_whose_extra_time_is_over_makes_room_for_another():
    sale = lobby_sale(stock={PHONE: 1}, claim_s=60, extra_time_max=1)
    people = crowd(sale, 4)
    open_now(sale)
    tend(sale)
    _, second, third, fourth = sorted(people, key=lambda person: person.number())
    request_extra_time(second)
    assert refusal(request_extra_time, third) is Outcome.NO_MORE_TIME
    for seconds in (60, 120):
        let_pass(sale, seconds=seconds)
        tend(sale)
        tend(sale)
    assert (second.look().state, third.look().state) == (PlaceState.LAPSED, PlaceState.CALLED)
    request_extra_time(fourth)


def test_extra_time_is_refused_after_the_call_and_beyond_the_limit_of_the_line():
    sale = lobby_sale(stock={PHONE: 1}, extra_time_max=1)
    people = crowd(sale, 4)
    open_now(sale)
    tend(sale)
    first, second, third, _ = sorted(people, key=lambda person: person.number())
    assert refusal(request_extra_time, first) is Outcome.ALREADY_CALLED
    request_extra_time(second)
    assert refusal(request_extra_time, third) is Outcome.NO_MORE_TIME


def test_the_draw_gives_numbers_to_the_greatest_allowed_list_of_extra_time(gate: Redis):
    sale = lobby_sale(stock={PHONE: 1}, extra_time_max=10_000)
    (ani,) = crowd(sale, 1)
    extra_time_key = SaleKeys(sale.campaign_id, sale.pk).extra_time(1)
    gate.zadd(extra_time_key, {str(index): 0 for index in range(1, 10_001)})
    open_now(sale)
    tend(sale)
    assert ani.look().state is PlaceState.CALLED
    assert (gate.zscore(extra_time_key, 1), gate.zscore(extra_time_key, 10_000)) == (1, 10_000)


def test_a_place_that_is_left_gets_no_extra_time_and_frees_its_extra_time():
    sale = lobby_sale(stock={PHONE: 1}, extra_time_max=1)
    people = crowd(sale, 3)
    open_now(sale)
    tend(sale)
    _, second, third = sorted(people, key=lambda person: person.number())
    request_extra_time(second)
    bridge.run(leave(card=second.card, line=second.line, place=second.place))
    assert refusal(request_extra_time, second) is Outcome.PLACE_LEFT
    second.enter()
    request_extra_time(third)
    assert refusal(request_extra_time, second) is Outcome.NO_MORE_TIME


def fills_slowly(monkeypatch: pytest.MonkeyPatch, name: str) -> int:
    """Lets a bucket get one token a minute, because a busy machine may need longer than its gap for each request.

    Returns how many requests the bucket lets through at once.
    """
    slow: TokenBucket = getattr(scripts, name)._replace(gap_ms=60_000)
    monkeypatch.setattr(scripts, name, slow)
    return slow.burst


def fill(gate: Redis, sale: Sale) -> None:
    """Fills all buckets of the sale, as time does."""
    for bucket in gate.keys(*SaleKeys(sale.campaign_id, sale.pk).paces(["*"])):
        gate.set(bucket, time.time() * 1000)


def outcomes(act: Callable[[], Any], times: int) -> list[Any]:
    """The results of calls one after the other; of a refused one its outcome."""
    found: list[Any] = []
    for _ in range(times):
        try:
            found.append(act())
        except Refused as refused:
            found.append(refused.outcome)
    return found


def test_an_identity_that_enters_too_often_is_told_to_wait_and_keeps_its_place(
    gate: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst = fills_slowly(monkeypatch, "IDENTITY_BUCKET")
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    index = ani.enter().index
    answers = outcomes(lambda: ani.enter().index, burst + 10)
    assert answers == [index] * burst + [Outcome.TOO_MANY_REQUESTS] * 10
    assert Shopper(sale, "budi").enter().created
    fill(gate, sale)
    assert ani.enter().index == index


def test_a_callers_bucket_lets_exactly_its_burst_through():
    sale = lobby_sale()
    card = card_of(sale)
    caller = Caller("address:203.0.113.7", TokenBucket(gap_ms=60_000, burst=3))
    answers = [
        bridge.run(
            scripts.enter(
                card,
                card.lines[0],
                card.channels[0],
                list(digest_identity(card=card, values=identity(f"p{n}")).values()),
                caller=caller,
            )
        )
        for n in range(5)
    ]
    assert [answer for answer in answers if isinstance(answer, Outcome)] == [Outcome.TOO_MANY_REQUESTS] * 2
    other = caller._replace(name="address:203.0.113.8")
    fresh = list(digest_identity(card=card, values=identity("p9")).values())
    assert bridge.run(
        scripts.enter(card, card.lines[0], card.channels[0], fresh, caller=other)
    ) == messages.EnterResult(4, True, ())


def test_a_bucket_filled_before_the_wall_clock_went_back_refuses_no_caller(gate: Redis):
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    ani.enter()
    ani.enter()
    buckets = gate.keys(*SaleKeys(sale.campaign_id, sale.pk).paces(["*"]))
    assert buckets
    for bucket in buckets:
        gate.set(bucket, (time.time() + 3600) * 1000)
    assert ani.enter().index == 1
    assert {float(full_at) < (time.time() + 10) * 1000 for full_at in gate.mget(buckets) if full_at} == {True}


def test_a_place_that_reserves_too_often_is_slowed_down_and_still_gets_its_unit(
    gate: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst = fills_slowly(monkeypatch, "PLACE_BUCKET")
    sale = lobby_sale(stock={PHONE: 1})
    (ani,) = crowd(sale, 1)
    open_now(sale)
    keys = itertools.count()
    answers = outcomes(lambda: ani.reserve(key=str(next(keys))), burst + 2)
    assert answers == [Outcome.NOT_CALLED] * burst + [Outcome.TOO_MANY_REQUESTS] * 2
    fill(gate, sale)
    tend(sale)
    assert ani.reserve(key="at last").amount == 1_799_000


def test_a_place_that_looks_too_often_is_told_to_wait_and_nothing_else_changes(
    gate: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst = fills_slowly(monkeypatch, "PLACE_BUCKET")
    sale = lobby_sale()
    (ani,) = crowd(sale, 1)
    answers = outcomes(lambda: ani.look().state, burst + 2)
    assert answers == [PlaceState.WAITING] * burst + [Outcome.TOO_MANY_REQUESTS] * 2
    fill(gate, sale)
    assert ani.look().state is PlaceState.WAITING


def test_only_requests_without_a_partner_count_by_address():
    sale = lobby_sale()
    card = card_of(sale)
    known = digest_identity(card=card, values=identity("ani"))
    where: Any = {"card": card, "line": card.lines[0], "channel": channel_of(card, "lazada"), "digests": known}
    assert bridge.run(enter(**where, address="203.0.113.7")).created
    assert not bridge.run(enter(**where)).created
