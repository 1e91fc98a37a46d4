"""A server that is not the one the sale was loaded on: every script refuses, and nothing changes."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, sale_cards, scripts
from flashsale.rules.clock import ClockLease
from flashsale.rules.outcomes import Outcome
from tests.gate.floor import CARD, FIRST, KEYS, SEED, ask, everything, person, reserve, stand
from tests.gate.test_heads import SCRIPTS

ACTS: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
    "arrived": lambda: scripts.arrived(CARD, FIRST, units=[1]),
    "beat": lambda: scripts.beat(CARD, revision=1, lease=ClockLease(4, 9)),
    "call": lambda: scripts.call(CARD, FIRST, seed=SEED, called=10, people=1),
    "confirm": lambda: scripts.confirm(CARD, FIRST, reservation="r1", quantity=1),
    "due": lambda: scripts.due(CARD, most=9),
    "enter": lambda: scripts.enter(CARD, FIRST, person("new")),
    "crowd": lambda: sale_cards.crowd(CARD, FIRST),
    "extend": lambda: scripts.extend(CARD, FIRST, block=99),
    "freeze": lambda: scripts.freeze(CARD),
    "give": lambda: scripts.give(CARD, FIRST, reservation="r1", frees_limit=True, units=[(1, 9, "small")]),
    "leave": lambda: scripts.leave(CARD, FIRST, index=2, number=2, seed=SEED),
    "look": lambda: scripts.look(CARD, FIRST, index=2, number=2, seed=SEED, digests=person("person-2")),
    "number": lambda: scripts.number(CARD, FIRST, numbers={2: 2}),
    "reserve": lambda: scripts.reserve(CARD, FIRST, seed=SEED, ask=ask(2)),
    "retake": lambda: scripts.retake(CARD, FIRST, taken="{}", called=9, promised=0, kept_ms=9),
    "seed": lambda: scripts.seed(CARD, FIRST, cohort=10, seed=SEED),
    "survey": lambda: scripts.survey(CARD, FIRST),
    "tell": lambda: scripts.tell(CARD, revision=9, state="paused"),
    "void": lambda: scripts.void(CARD, FIRST, seed=SEED, numbers=[2]),
    "wait": lambda: scripts.wait(CARD, FIRST, index=20, number=20, seed=SEED, most=9),
    "withdraw": lambda: scripts.withdraw(CARD, FIRST, keep=0, called=0),
}


def test_every_script_is_walked_over() -> None:
    assert set(ACTS) == {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("name", ACTS)
def test_a_script_refuses_under_a_foreign_run_id_and_changes_nothing(gate: redis.Redis, name: str) -> None:
    stand()
    reserve(ask(1))
    gate.hset(KEYS.state, "run", "0" * 40)
    before = everything(gate)
    assert bridge.run(ACTS[name]()) is Outcome.NOT_READY
    assert everything(gate) == before
