"""Extra time for people who need it, and rate limits. Both are bounded and take nothing from other people."""

import itertools
import time
from typing import Any

import pytest
from redis import Redis

from flashsale.gate import bridge, messages, scripts
from flashsale.gate.keys import SaleKeys
from flashsale.gate.messages import Caller
from flashsale.life import extra_time
from flashsale.life.enter import digest_identity, enter
from flashsale.life.leave import leave
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PlaceState
from flashsale.rules.token_buckets import IDENTITY_BUCKET, PLACE_BUCKET, TokenBucket
from tests.factories import PHONE, Shopper, card_of, channel_of, identity, let_pass, lobby_sale, open_now, refusal, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def request_extra_time(person):
    bridge.run(extra_time.extra_time(card=person.card, line=person.line, place=person.place))


def crowd(sale, size):
    people = [Shopper(sale, f"person-{n}") for n in range(size)]
    for person in people:
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


def test_an_identity_that_enters_too_often_is_told_to_wait_and_keeps_its_place():
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    index = ani.enter().index
    answers: list[int | Outcome] = []
    for _knock in range(IDENTITY_BUCKET.burst + 10):
        try:
            answers.append(ani.enter().index)
        except Refused as refused:
            answers.append(refused.outcome)
    assert set(answers) == {index, Outcome.TOO_MANY_REQUESTS}
    assert Shopper(sale, "budi").enter().created
    time.sleep(1.1)
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


def test_a_place_that_reserves_too_often_is_slowed_down_and_still_gets_its_unit():
    sale = lobby_sale(stock={PHONE: 1})
    (ani,) = crowd(sale, 1)
    open_now(sale)
    knocks = (refusal(ani.reserve, key=str(n)) for n in range(20 * PLACE_BUCKET.burst))
    assert set(itertools.takewhile(lambda outcome: outcome is not Outcome.TOO_MANY_REQUESTS, knocks)) == {
        Outcome.NOT_CALLED
    }
    assert refusal(ani.reserve, key="one more") is Outcome.TOO_MANY_REQUESTS
    time.sleep(0.3)
    tend(sale)
    assert ani.reserve(key="at last").amount == 1_799_000


def test_a_place_that_looks_too_often_is_told_to_wait_and_nothing_else_changes():
    sale = lobby_sale()
    (ani,) = crowd(sale, 1)
    looks = (ani.look().state for _ in range(20 * PLACE_BUCKET.burst))
    with pytest.raises(Refused) as refused:
        assert set(looks) == {PlaceState.WAITING}
    assert refused.value.outcome is Outcome.TOO_MANY_REQUESTS
    time.sleep(0.2)
    assert ani.look().state is PlaceState.WAITING


def test_only_requests_without_a_partner_count_by_address():
    sale = lobby_sale()
    card = card_of(sale)
    known = digest_identity(card=card, values=identity("ani"))
    where: Any = {"card": card, "line": card.lines[0], "channel": channel_of(card, "lazada"), "digests": known}
    assert bridge.run(enter(**where, address="203.0.113.7")).created
    assert not bridge.run(enter(**where)).created
