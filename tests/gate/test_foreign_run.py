"""On a server that the sale was not loaded on, every script refuses and changes nothing."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, people, sale_cards, scripts
from flashsale.gate.client import GateDown
from flashsale.gate.held_request import HeldRequest
from flashsale.rules.clock import ClockLease
from flashsale.rules.outcomes import Outcome
from tests.gate.floor import CARD, FIRST, KEYS, PAGE, SCRIPTS, SEED, everything, person, request, reserve, stand


async def _refused(call: Coroutine[Any, Any, Any]) -> Outcome | None:
    """The outcome of a call that raises where the others return it."""
    try:
        await call
    except GateDown as error:
        return Outcome.NOT_READY if "is not ready" in str(error) else None
    return None


HELD = HeldRequest(request(2), (), 1, 2)
ACTS: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "units_arrived": lambda: scripts.units_arrived(CARD, FIRST, units=[1]),
    "extend_lease": lambda: scripts.extend_lease(CARD, revision=1, lease=ClockLease(4, 9), mark=0),
    "call": lambda: scripts.call(CARD, FIRST, seed=SEED, called=10, people=1),
    "confirm": lambda: scripts.confirm(CARD, FIRST, reservation="r1", quantity=1),
    "due": lambda: scripts.due(CARD, most=9),
    "enter": lambda: scripts.enter(CARD, FIRST, PAGE, person("new")),
    "crowd": lambda: sale_cards.crowd(CARD, FIRST),
    "extend_block": lambda: scripts.extend_block(CARD, FIRST, block=99),
    "freeze": lambda: scripts.freeze(CARD),
    "give_back": lambda: scripts.give_back(CARD, FIRST, reservation="r1", frees_limit=True, units=[(1, 9, "small")]),
    "leave": lambda: scripts.leave(CARD, FIRST, index=2, number=2, seed=SEED),
    "look": lambda: scripts.look(CARD, FIRST, index=2, number=2, seed=SEED, digests=person("person-2"), by_code=True),
    "number_extra_time": lambda: scripts.number_extra_time(CARD, FIRST, numbers={2: 2}),
    "reserve": lambda: scripts.reserve(CARD, FIRST, seed=SEED, request=request(2)),
    "retake": lambda: scripts.retake(CARD, FIRST, held=HELD, called=9, promised=0, kept_ms=9),
    "root": lambda: scripts.root(CARD, FIRST, cohort=10, root=SEED, round_=9, waits=True),
    "seed": lambda: scripts.seed(CARD, FIRST, cohort=10, seed=SEED),
    "survey": lambda: scripts.survey(CARD, FIRST),
    "apply_decision": lambda: scripts.apply_decision(CARD, revision=9, state="paused"),
    "void": lambda: scripts.void(CARD, FIRST, seed=SEED, numbers=[2]),
    "extra_time": lambda: scripts.extra_time(CARD, FIRST, index=20, number=20, seed=SEED, most=9),
    "tried_in_time": lambda: scripts.tried_in_time(CARD, FIRST, index=2, number=2, seed=SEED, ago_ms=0),
    "forget_place": lambda: _refused(people.forget_place(CARD, FIRST, index=2, number=2, seed=SEED, fields=[])),
    "forget_request": lambda: _refused(people.forget_requests(CARD, {request(1).id: [("phone", "ab" * 16)]})),
    "withdraw": lambda: scripts.withdraw(CARD, FIRST, keep=0, called=0),
}


def test_every_script_is_called_here() -> None:
    # The first two belong to the installation and to no sale. The third belongs to a campaign that is being loaded,
    # the last to an account of a payment provider.
    assert set(ACTS) == {path.stem for path in SCRIPTS} - {
        "take_due",
        "look_again",
        "count_at_least",
        "provider_pace",
        "background_pace",
        "code_event",
    }


@pytest.mark.parametrize("name", ACTS)
def test_a_script_refuses_under_a_foreign_run_id_and_changes_nothing(gate: redis.Redis, name: str) -> None:
    stand()
    reserve(request(1))
    gate.hset(KEYS.state, "run", "0" * 40)
    before = everything(gate)
    assert bridge.run(ACTS[name]()) is Outcome.NOT_READY
    assert everything(gate) == before


@pytest.mark.parametrize("name", ACTS)
def test_a_script_refuses_when_a_higher_mark_was_seen_and_changes_nothing(gate: redis.Redis, name: str) -> None:
    stand()
    reserve(request(1))
    old = gate.hget(KEYS.state, "mark")
    bridge.run(scripts.survey(CARD, FIRST))
    gate.hset(KEYS.state, "mark", old)
    before = everything(gate)
    assert bridge.run(ACTS[name]()) is Outcome.NOT_READY
    assert everything(gate) == before


def test_a_sale_that_is_loaded_again_is_believed_after_a_step_back(gate: redis.Redis) -> None:
    stand()
    bridge.run(scripts.survey(CARD, FIRST))
    gate.hset(KEYS.state, "mark", 0)
    assert bridge.run(ACTS["survey"]()) is Outcome.NOT_READY
    stand()
    assert bridge.run(ACTS["look"]()) is not Outcome.NOT_READY
