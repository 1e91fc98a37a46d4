"""The answers of the scripts for entering, leaving, looking and calling; a refusal changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, messages, scripts
from flashsale.gate.sale_card import LineCard
from flashsale.rules.outcomes import Outcome
from tests.gate.floor import (
    CARD,
    FIRST,
    HOUR,
    KEYS,
    LINES,
    NOW,
    PAGE,
    SECOND,
    SEED,
    changed,
    enter,
    everything,
    person,
    stand,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("gate")
Refusal = tuple[dict[str, Any], Callable[[], Any], Outcome]


def leave(index: int, *, line: LineCard = FIRST, number: int = 0, seed: str = "") -> Outcome:
    return bridge.run(scripts.leave(CARD, line, index=index, number=number, seed=seed))


def look(index: int, *, number: int = 0, seed: str = "", name: str = "ani") -> Any:
    digests = person(name)
    return bridge.run(scripts.look(CARD, FIRST, index=index, number=number, seed=seed, digests=digests, by_code=True))


def call(people: int, *, called: int = 0, seed: str = SEED) -> int | Outcome:
    return bridge.run(scripts.call(CARD, FIRST, seed=seed, called=called, people=people))


def test_each_new_identity_gets_the_next_index(gate: redis.Redis) -> None:
    stand(drawn=False)
    assert [enter(name) for name in ("ani", "budi", "ani")] == [
        messages.EnterResult(1, True, ()), messages.EnterResult(2, True, ()), messages.EnterResult(1, False, ()),
    ]  # fmt: skip
    assert gate.hmget(KEYS.line(1), ["entered", "left"]) == [b"2", b"0"]


def test_proofs_that_meet_two_places_keep_the_earlier_and_void_the_other(gate: redis.Redis) -> None:
    stand(drawn=False)
    enter("ani")
    enter("budi")
    both = [person("budi")[0], person("ani")[1]]
    assert bridge.run(scripts.enter(CARD, FIRST, PAGE, both)) == messages.EnterResult(1, False, (2,))
    assert gate.smembers(KEYS.voided(1)) == {b"2"}
    assert look(2, name="budi").state == "voided"


def test_a_present_place_is_given_back_after_the_draw_by_its_own_proofs_only(gate: redis.Redis) -> None:
    stand(drawn=False)
    enter("ani")
    enter("budi")
    stand(fresh=False)
    assert leave(1, number=1, seed=SEED) is Outcome.LEFT
    both = [person("ani")[0], person("budi")[1]]
    before = everything(gate)
    # The place that was left has spent its number. The present one is the other person's, whose number is known.
    assert bridge.run(scripts.enter(CARD, FIRST, PAGE, both)) is Outcome.WRONG_IDENTITY
    assert everything(gate) == before
    assert enter("budi") == messages.EnterResult(2, False, ())


def extra_time(index: int, *, most: int = 5) -> Outcome:
    return bridge.run(scripts.extra_time(CARD, FIRST, index=index, number=0, seed="", most=most))


def test_a_voided_place_gives_its_extra_time_back_and_gets_none(gate: redis.Redis) -> None:
    stand(drawn=False)
    enter("ani"), enter("budi")
    assert extra_time(2, most=1) is Outcome.GRANTED
    bridge.run(scripts.enter(CARD, FIRST, PAGE, [person("budi")[0], person("ani")[1]]))
    before = everything(gate)
    assert extra_time(2) is Outcome.PLACE_VOIDED
    assert everything(gate) == before
    assert extra_time(1, most=1) is Outcome.GRANTED
    gate.hset(KEYS.line(1), "lost", 2)
    look(3, name="cici"), look(4, name="dodi")
    assert extra_time(4) is Outcome.GRANTED
    both = [person("cici")[0], person("dodi")[1]]
    answer: Any = bridge.run(scripts.look(CARD, FIRST, index=3, number=0, seed="", digests=both, by_code=True))
    assert answer.state == "waiting"
    assert gate.zrange(KEYS.extra_time(1), 0, -1) == [b"1"]


def test_leaving_twice_is_leaving_once(gate: redis.Redis) -> None:
    stand(drawn=False)
    enter("ani")
    assert leave(1) is Outcome.LEFT
    before = everything(gate)
    assert leave(1) is Outcome.LEFT
    assert everything(gate) == before
    assert gate.hget(KEYS.line(1), "left") == b"1"


def test_going_to_and_fro_between_two_lines_ends_after_three_times() -> None:
    stand(drawn=False)
    given = []
    for line in (*LINES, *LINES, *LINES):
        answer = enter("ani", line)
        given.append(answer if isinstance(answer, Outcome) else answer.index)
        if isinstance(answer, messages.EnterResult):
            leave(answer.index, line=line)
    assert given == [1, 1, 2, 2, Outcome.PLACE_LEFT, 2]


def test_looking_with_a_token_brings_back_a_place_that_the_gate_lost(gate: redis.Redis) -> None:
    stand(drawn=False)
    assert look(4).state == "waiting"
    assert enter("ani") == messages.EnterResult(4, False, ())


def test_of_two_tokens_of_one_person_the_earlier_place_lives_and_the_later_is_not_called(gate: redis.Redis) -> None:
    stand(drawn=False)
    gate.hset(KEYS.line(1), "lost", 3)
    assert (look(4).state, look(6).state, look(4).state) == ("waiting", "voided", "waiting")
    assert (gate.smembers(KEYS.voided(1)), gate.getbit(KEYS.out(1), 6)) == ({b"6"}, 1)
    stand(called=0)
    assert look(4, number=3, seed=SEED).state == "waiting"
    assert look(7, number=5, seed=SEED).state == "voided"
    assert [gate.getbit(KEYS.spent(1), number) for number in (3, 5)] == [0, 1]
    assert call(5) == 6


def test_calling_passes_over_numbers_that_are_spent(gate: redis.Redis) -> None:
    stand(called=0)
    gate.hset(KEYS.line(1), "entered", 10)
    assert bridge.run(scripts.void(CARD, FIRST, seed=SEED, numbers=[1, 2, 9])) is Outcome.LOOKED
    assert call(3) == 5
    assert look(5, number=5, seed=SEED).state == "called"
    assert look(6, number=6, seed=SEED, name="budi").state == "waiting"


def test_two_doors_that_call_at_once_call_one_wave(gate: redis.Redis) -> None:
    stand(called=0)
    gate.hset(KEYS.line(1), "entered", 10)
    assert [call(3), call(3)] == [3, 3]
    assert gate.zcard(KEYS.waves(1)) == 1


def test_calling_ends_where_the_line_ends(gate: redis.Redis) -> None:
    stand(called=0)
    gate.hset(KEYS.line(1), "entered", 4)
    assert call(100) == 4
    before = everything(gate)
    assert call(100, called=4) == 4
    assert everything(gate) == before


def test_the_first_freeze_fixes_the_cohorts_of_all_lines(gate: redis.Redis) -> None:
    stand(drawn=False)
    enter("ani")
    enter("budi", SECOND)
    enter("cici", SECOND)
    gate.hset(KEYS.state, "opens", NOW - 1)
    enter("early as can be", SECOND)
    assert bridge.run(scripts.freeze(CARD)) == {1: 1, 2: 2}
    enter("dodi")
    assert bridge.run(scripts.freeze(CARD)) == {1: 1, 2: 2}


def test_a_line_keeps_its_first_seed(gate: redis.Redis) -> None:
    stand()
    bridge.run(scripts.seed(CARD, FIRST, cohort=99, seed="other"))
    assert gate.hmget(KEYS.line(1), ["cohort", "seed"]) == [b"10", SEED.encode()]


def test_a_block_only_grows(gate: redis.Redis) -> None:
    stand(drawn=False)
    for block in (80, 60):
        assert bridge.run(scripts.extend_block(CARD, FIRST, block=block)) is Outcome.LOOKED
    assert gate.hget(KEYS.line(1), "block") == b"80"


def used_up(scope: str) -> Any:
    return {f"used_{scope}": {person("ani")[1].hex(): 1}}


REFUSALS: dict[str, Refusal] = {
    "a called-off sale": ({"state": "called_off"}, lambda: enter("ani"), Outcome.CALLED_OFF),
    "a closed sale": ({"state": "closed"}, lambda: enter("ani"), Outcome.CLOSED),
    "after the closing time": ({"card": changed(closes_at=NOW - 1)}, lambda: enter("ani"), Outcome.CLOSED),
    "before the lobby": ({"card": changed(lobby_at=NOW + HOUR)}, lambda: enter("ani"), Outcome.NOT_OPEN),
    "a limit used up": (used_up("campaign"), lambda: enter("ani"), Outcome.LIMIT_REACHED),
    "a sale's limit used up": (
        used_up("sale"), lambda: enter("ani", card=changed(limit=2, sale_limit=1)), Outcome.LIMIT_REACHED,
    ),
    "a full line": ({}, lambda: enter("ani", card=changed(max_entries=0)), Outcome.LINE_FULL),
    "a full line to one whose limit is used up": (
        used_up("campaign"), lambda: enter("ani", card=changed(max_entries=0)), Outcome.LINE_FULL,
    ),
    "leaving a spent place": ({}, lambda: leave(3, number=3, seed=SEED), Outcome.PLACE_SPENT),
    "leaving by a door that knows another seed": ({}, lambda: leave(2, number=2, seed="x"), Outcome.NOT_READY),
    "leaving by a door that has not drawn": ({}, lambda: leave(2), Outcome.NOT_READY),
    "looking by a door that has not drawn": ({}, lambda: look(2), Outcome.NOT_READY),
    "calling with another seed": ({}, lambda: call(1, called=10, seed="x"), Outcome.NOT_READY),
    "calling while paused": ({"state": "paused"}, lambda: call(1, called=10), Outcome.PAUSED),
    "calling before the opening": (
        {"card": changed(opens_at=NOW + HOUR)}, lambda: call(1, called=10), Outcome.NOT_OPEN,
    ),
    "freezing before the opening": (
        {"card": changed(opens_at=NOW + HOUR), "frozen": False}, lambda: bridge.run(scripts.freeze(CARD)),
        Outcome.NOT_OPEN,
    ),
    "a seed before the freeze": (
        {"frozen": False}, lambda: bridge.run(scripts.seed(CARD, FIRST, cohort=1, seed="x")), Outcome.NOT_READY,
    ),
    "voiding with another seed": (
        {}, lambda: bridge.run(scripts.void(CARD, FIRST, seed="x", numbers=[1])), Outcome.NOT_READY,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "act", "word"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_has_its_word_and_changes_nothing(
    gate: redis.Redis, fields: dict[str, Any], act: Callable[[], Any], word: Outcome
) -> None:
    stand(**fields)
    gate.setbit(KEYS.spent(1), 3, 1)
    before = everything(gate)
    assert act() is word
    assert everything(gate) == before


def test_a_place_in_another_line_is_answered_before_a_limit_that_is_used_up(gate: redis.Redis) -> None:
    stand(drawn=False)
    enter("ani", SECOND)
    gate.hset(KEYS.used_campaign, person("ani")[0].hex(), 1)
    before = everything(gate)
    assert enter("ani") is Outcome.PLACE_ELSEWHERE
    assert everything(gate) == before


def test_a_limit_used_up_gives_back_a_place_as_it_is_but_joins_no_two(gate: redis.Redis) -> None:
    stand(drawn=False)
    enter("ani")
    enter("budi")
    gate.hset(KEYS.used_campaign, person("budi")[0].hex(), 1)
    before = everything(gate)
    assert enter("budi") == messages.EnterResult(2, False, ())
    both = [person("budi")[0], person("ani")[1]]
    assert bridge.run(scripts.enter(CARD, FIRST, PAGE, both)) is Outcome.LIMIT_REACHED
    assert everything(gate) == before


@pytest.mark.parametrize("word", [Outcome.CLOSED, Outcome.CALLED_OFF])
def test_a_sale_that_is_over_gives_back_a_place_as_it_is_and_nothing_else(gate: redis.Redis, word: Outcome) -> None:
    stand(drawn=False)
    enter("ani")
    enter("budi")
    enter("cici", SECOND)
    leave(2)
    gate.hset(KEYS.state, "state", word.value)
    before = everything(gate)
    assert enter("ani") == messages.EnterResult(1, False, ())
    assert [enter("budi"), enter("cici"), enter("dodi")] == [word] * 3
    assert everything(gate) == before


def test_no_index_is_given_that_the_books_have_not_committed(gate: redis.Redis) -> None:
    stand(drawn=False)
    gate.hset(KEYS.line(1), "block", 1)
    enter("ani")
    before = everything(gate)
    assert enter("budi") is Outcome.NO_ROOM
    assert everything(gate) == before


ANY_CALL: dict[str, Callable[[], Any]] = {
    "enter": lambda: scripts.enter(CARD, FIRST, PAGE, person("ani")),
    "leave": lambda: scripts.leave(CARD, FIRST, index=1, number=1, seed=SEED),
    "look": lambda: scripts.look(CARD, FIRST, index=1, number=1, seed=SEED, digests=person("ani"), by_code=True),
    "void": lambda: scripts.void(CARD, FIRST, seed=SEED, numbers=[1]),
    "survey": lambda: scripts.survey(CARD, FIRST),
    "freeze": lambda: scripts.freeze(CARD),
    "seed": lambda: scripts.seed(CARD, FIRST, cohort=1, seed="x"),
    "call": lambda: scripts.call(CARD, FIRST, seed=SEED, called=10, people=1),
    "confirm": lambda: scripts.confirm(CARD, FIRST, reservation="r1", quantity=1),
    "give_back": lambda: scripts.give_back(CARD, FIRST, reservation="r1", frees_limit=True, units=[(1, 9, "small")]),
    "due": lambda: scripts.due(CARD, most=10),
    "extend_block": lambda: scripts.extend_block(CARD, FIRST, block=10**6),
    "apply_decision": lambda: scripts.apply_decision(CARD, revision=10**6, state="closed"),
}


@pytest.mark.parametrize("make", ANY_CALL.values(), ids=ANY_CALL)
def test_a_server_of_another_run_refuses_every_call(gate: redis.Redis, make: Callable[[], Any]) -> None:
    stand()
    gate.hset(KEYS.state, "run", "another run")
    before = everything(gate)
    assert bridge.run(make()) is Outcome.NOT_READY
    assert everything(gate) == before
