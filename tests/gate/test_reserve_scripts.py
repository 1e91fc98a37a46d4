"""Holding and giving back units in the gate: all or nothing, each message once, the books' newest decision wins."""

from dataclasses import replace
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, coalesce, load, scripts
from flashsale.gate.held_request import HeldRequest, HeldUnit, ReserveRequest
from flashsale.gate.sale_card import DIRECT_MAX
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import AllocationMode
from tests.gate.floor import (
    BIG,
    CARD,
    ENTERED,
    FIRST,
    HOUR,
    KEYS,
    NOW,
    SECOND,
    SEED,
    SMALL,
    changed,
    enter,
    everything,
    person,
    request,
    reserve,
    stand,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("gate")


def give_back(**what: Any) -> int | Outcome:
    return bridge.run(scripts.give_back(CARD, FIRST, **what))


def apply_decision(revision: int, **fields: str | int) -> Outcome:
    return bridge.run(scripts.apply_decision(CARD, revision=revision, **fields))


def counts(gate: redis.Redis) -> tuple[int, int]:
    held, sold = gate.hmget(KEYS.line(1), ["held", "sold"])
    return int(held), int(sold)


def used(gate: redis.Redis, name: str) -> list[int]:
    return [int(gate.hget(KEYS.used_campaign, digest.hex()) or 0) for digest in person(name)]


def test_a_held_request_is_recorded_everywhere_at_once(gate: redis.Redis) -> None:
    stand()
    held = reserve(request(4))
    assert held.request == request(4)
    assert held.units == (HeldUnit(1, 1, 0),)
    assert held.deadline_ms - held.made_ms == CARD.hold_ms
    assert counts(gate) == (1, 0)
    assert used(gate, "person-4") == [1, 1]
    assert gate.zscore(KEYS.free(1, SMALL), "1") is None
    assert gate.getbit(KEYS.spent(1), 4) == 1
    assert gate.hget(KEYS.holds, "r4") == b"k4"
    assert gate.zscore(KEYS.due, "r4") == held.deadline_ms


def test_the_same_key_gets_the_same_answer_and_changes_nothing(gate: redis.Redis) -> None:
    stand()
    first = reserve(request(4))
    before = everything(gate)
    assert reserve(request(4, id="another")) == first
    assert everything(gate) == before


def test_units_of_several_offers_are_taken_all_or_none(gate: redis.Redis) -> None:
    card = changed(limit=5, overbooking=5.0)
    stand(card, lines=[load.LineLoad(1, ENTERED, 10, SEED, 5)])
    assert reserve(request(4, items=((0, 2), (1, 2)), limit=5), card).units == (
        HeldUnit(1, 1, 0), HeldUnit(2, 1, 0), HeldUnit(4, 1, 1), HeldUnit(5, 1, 1),
    )  # fmt: skip
    before = everything(gate)
    assert reserve(request(5, items=((0, 1), (1, 1)), limit=5), card) is Outcome.OFFER_GONE
    assert everything(gate) == before


def test_a_person_gets_more_than_one_unit_only_where_one_is_left_for_each_other_person_who_is_called(
    gate: redis.Redis,
) -> None:
    card = changed(limit=3)
    # Numbers 1 to 4 are called for five units.
    stand(card, lines=[load.LineLoad(1, ENTERED, 10, SEED, 4)])
    before = everything(gate)
    assert reserve(request(1, items=((0, 3),), limit=3), card) is Outcome.OFFER_GONE
    assert everything(gate) == before
    assert len(reserve(request(1, items=((0, 2),), limit=3), card).units) == 2
    assert reserve(request(2, items=((0, 1), (1, 1)), limit=3), card) is Outcome.OFFER_GONE
    for number, offer in ((2, 0), (3, 1)):
        assert len(reserve(request(number, items=((offer, 1),), limit=3), card).units) == 1
    # The last unit is promised to no other person, so only the stock counts.
    assert reserve(request(4, items=((1, 2),), limit=3), card) is Outcome.OFFER_GONE
    assert len(reserve(request(4, items=((1, 1),), limit=3), card).units) == 1


def test_people_in_one_batch_leave_one_unit_for_each_of_those_after_them() -> None:
    card = changed(limit=3)
    stand(card, stock={SMALL: 5}, lines=[load.LineLoad(1, ENTERED, 10, SEED, 3)])
    wishes = [request(n, items=((0, 3),), limit=3) for n in (1, 2, 3)]
    replies = bridge.run(scripts._reserve_batch(card, FIRST, SEED, wishes))
    assert [reply[0] for reply in replies] == [b"reserved", b"offer_gone", b"offer_gone"]


@pytest.mark.parametrize(("quantities", "expected"), [((), 3.0), ((1,), 2.0), ((1, 1, 1), 1.5), ((3, 3), 3.0)])
def test_people_are_expected_to_take_as_much_as_those_before_them_and_one_who_takes_the_most(
    quantities: tuple[int, ...], expected: float
) -> None:
    card = changed(limit=3)
    stand(card, stock={SMALL: 50})
    for number, quantity in enumerate(quantities, 1):
        reserve(request(number, items=((0, quantity),), limit=3), card)
    figures: Any = bridge.run(scripts.survey(card, FIRST))
    assert figures.expected == expected


def test_a_batch_is_decided_in_its_order_until_nothing_is_left() -> None:
    stand(stock={SMALL: 2})
    replies = bridge.run(scripts._reserve_batch(CARD, FIRST, "5eed", [request(n) for n in (3, 1, 2)]))
    assert [reply[0] for reply in replies] == [b"reserved", b"reserved", b"sold_out"]


REFUSALS: dict[str, tuple[dict[str, Any], ReserveRequest, Outcome]] = {
    "key_reused": ({}, request(1, key="k3", fingerprint="another"), Outcome.KEY_REUSED),
    "called_off": ({"state": "called_off"}, request(1), Outcome.CALLED_OFF),
    "closed": ({"state": "closed"}, request(1), Outcome.CLOSED),
    "closed by time": ({"card": changed(closes_at=NOW - 1)}, request(1), Outcome.CLOSED),
    "paused": ({"state": "paused"}, request(1), Outcome.PAUSED),
    "not_open": ({"card": changed(opens_at=NOW + HOUR)}, request(1), Outcome.NOT_OPEN),
    "place_voided": ({}, request(6), Outcome.PLACE_VOIDED),
    "place_left": ({}, request(7), Outcome.PLACE_LEFT),
    "place_spent": ({}, request(3, key="other"), Outcome.PLACE_SPENT),
    "not_called": ({}, request(11), Outcome.NOT_CALLED),
    "lapsed": ({"card": changed(claim_ms=0)}, request(1), Outcome.LAPSED),
    "limit_reached": ({}, request(1, name="person-3"), Outcome.LIMIT_REACHED),
    "limit_reached in the sale": ({}, request(1, name="person-3", limit=5, sale_limit=1), Outcome.LIMIT_REACHED),
    "limit_reached by more at once": ({}, request(1, items=((0, 2),)), Outcome.LIMIT_REACHED),
    "sold_out": ({"stock": {}}, request(1), Outcome.SOLD_OUT),
    "offer_gone": ({"stock": {BIG: 1}}, request(1), Outcome.OFFER_GONE),
}


@pytest.mark.parametrize(("fields", "wish", "word"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_has_its_word_and_changes_nothing(
    gate: redis.Redis, fields: dict[str, Any], wish: ReserveRequest, word: Outcome
) -> None:
    stand(**{"stock": {SMALL: 5}} | fields)
    third = HeldRequest(request(3), (), 1, 2)
    gate.hset(KEYS.held_requests, "k3", third.to_json())
    gate.setbit(KEYS.spent(1), 3, 1)
    for digest in person("person-3"):
        gate.hset(KEYS.used_campaign, digest.hex(), 1)
        gate.hset(KEYS.used_sale, digest.hex(), 1)
    gate.sadd(KEYS.voided(1), 6)
    gate.setbit(KEYS.out(1), 6, 1)
    gate.setbit(KEYS.out(1), 7, 1)
    before = everything(gate)
    assert reserve(wish) is word
    assert everything(gate) == before


def test_a_caller_that_has_another_seed_reserves_nothing(gate: redis.Redis) -> None:
    stand()
    before = everything(gate)
    assert reserve(request(1), seed="other") is Outcome.NOT_READY
    assert everything(gate) == before


def test_an_end_counts_once_however_often_it_is_sent(gate: redis.Redis) -> None:
    stand()
    reserve(request(4))
    what = {"reservation": "r4", "frees_limit": True, "units": [(1, 3, SMALL)]}
    assert give_back(**what) == 1
    assert (counts(gate), used(gate, "person-4")) == ((0, 0), [0, 0])
    before = everything(gate)
    assert give_back(**what) == 0
    assert everything(gate) == before


def test_an_end_after_the_confirmation_lowers_what_is_sold(gate: redis.Redis) -> None:
    stand()
    reserve(request(4))
    for _ in range(2):
        bridge.run(scripts.confirm(CARD, FIRST, reservation="r4", quantity=1))
    assert counts(gate) == (0, 1)
    assert give_back(reservation="r4", frees_limit=True) == 0
    assert (counts(gate), used(gate, "person-4")) == ((0, 0), [0, 0])


def test_a_late_message_never_offers_a_unit_that_was_taken_since(gate: redis.Redis) -> None:
    stand(stock={SMALL: 1})
    reserve(request(4))
    give_back(units=[(1, 3, SMALL)])
    reserve(request(5))
    before = everything(gate)
    assert give_back(units=[(1, 3, SMALL)]) == 0
    assert give_back(units=[(1, 2, SMALL)]) == 0
    assert everything(gate) == before
    assert reserve(request(6)) is Outcome.SOLD_OUT


def test_an_end_that_keeps_the_limit_used_gives_back_units_only(gate: redis.Redis) -> None:
    stand()
    reserve(request(4))
    assert give_back(reservation="r4", frees_limit=False, units=[(1, 3, SMALL)]) == 1
    assert (counts(gate), used(gate, "person-4")) == ((0, 0), [1, 1])


def test_an_end_of_a_reservation_that_the_gate_never_had_frees_no_limit(gate: redis.Redis) -> None:
    stand(used_campaign={person("person-4")[0].hex(): 1})
    before = everything(gate)
    assert give_back(reservation="unheard", frees_limit=True) == 0
    assert everything(gate) == before


def test_an_abandoned_reservation_frees_its_own_place_and_key_only(gate: redis.Redis) -> None:
    stand()
    reserve(request(4))
    before = everything(gate)
    assert give_back(reservation="another", frees_limit=True, how="abandoned") == 0
    assert everything(gate) == before
    give_back(reservation="r4", frees_limit=True, how="abandoned")
    assert gate.hexists(KEYS.held_requests, "k4") is False
    assert gate.getbit(KEYS.spent(1), 4) == 0
    assert reserve(request(4, id="again")).request.id == "again"


def test_two_holds_that_expired_are_counted_once_each_and_there_is_no_third(gate: redis.Redis) -> None:
    stand()
    for number in (4, 5):
        reserve(request(number, name="ani"))
        for _ in range(2):
            give_back(reservation=f"r{number}", frees_limit=True, how="expired")
        assert gate.getbit(KEYS.spent(1), number) == 1
    assert set(gate.hvals(KEYS.unpaid)) == {b"2"}
    before = everything(gate)
    assert reserve(request(6, name="ani")) is Outcome.UNPAID_TWICE
    assert enter("ani") is Outcome.UNPAID_TWICE
    assert everything(gate) == before
    assert reserve(request(6, name="budi")).request.id == "r6"


def test_an_older_decision_never_replaces_a_newer_one(gate: redis.Redis) -> None:
    stand()
    apply_decision(3, state="paused")
    before = everything(gate)
    for late in (2, 3):
        assert apply_decision(late, state="published") is Outcome.LOOKED
    assert everything(gate) == before
    apply_decision(4, state="published", paused_ms=5)
    assert gate.hmget(KEYS.state, ["state", "paused_ms", "revision"]) == [b"published", b"5", b"4"]


def test_while_paused_nothing_comes_due(gate: redis.Redis) -> None:
    card = changed(hold_ms=1)
    stand(card)
    held = reserve(request(4), card)
    apply_decision(2, state="paused", runs_from=held.made_ms, runs_until=held.made_ms)
    assert bridge.run(scripts.due(CARD, most=10)) == (held.made_ms, {})


def test_due_reservations_come_with_their_held_requests_the_oldest_first(gate: redis.Redis) -> None:
    card = changed(hold_ms=0)
    stand(card)
    first, second = reserve(request(4), card), reserve(request(5), card)
    gate.zadd(KEYS.due, {"r5": 1, "r4": 2})
    due: Any = bridge.run(scripts.due(CARD, most=10))[1]
    assert list(due.items()) == [("r5", second), ("r4", first)]
    assert list(bridge.run(scripts.due(CARD, most=1))[1]) == ["r5"]


def test_a_request_beyond_the_bound_of_waiting_ones_is_refused_as_too_many(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand()
    monkeypatch.setattr(coalesce, "WAITING_MAX", 0)
    before = everything(gate)
    assert reserve(request(1)) is Outcome.TOO_MANY_REQUESTS
    assert everything(gate) == before


DIRECT = changed(lines=(replace(FIRST, mode=AllocationMode.DIRECT), SECOND), max_entries=5)


def reserve_directly(name: str, **fields: Any) -> Any:
    wish = request(0, name=name, id=f"of {name}", key=name, **fields)
    return bridge.run(scripts.reserve(DIRECT, DIRECT.lines[0], seed=SEED, request=wish))


@pytest.mark.parametrize(("last", "word"), [(8, Outcome.NO_ROOM), (DIRECT_MAX, Outcome.LINE_FULL)])
def test_a_direct_line_without_an_index_left_refuses_new_requests_only(
    gate: redis.Redis, last: int, word: Outcome
) -> None:
    stand(DIRECT)
    gate.hset(KEYS.line(1), mapping={"entered": last - 1, "block": last})
    held = reserve_directly("ani")
    assert (held.request.index, held.request.number) == (last, last)
    before = everything(gate)
    assert reserve_directly("budi") is word
    assert reserve_directly("ani") == held
    assert everything(gate) == before


def test_a_direct_line_that_is_sold_out_answers_so_before_it_needs_an_index(gate: redis.Redis) -> None:
    stand(DIRECT, stock={})
    gate.hset(KEYS.line(1), mapping={"entered": 8, "block": 8})
    before = everything(gate)
    assert reserve_directly("ani") is Outcome.SOLD_OUT
    assert everything(gate) == before
