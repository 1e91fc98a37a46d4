"""Plays rounds of faults, and makes a table of them: engine × fault × rounds × promise. Knows no engine.

A fault is data: the engine, its name, and what it does while a crowd buys. A module for each engine has its faults
(postgres_faults.py).
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rich.table import Table


class NotPossible(RuntimeError):
    """This machine cannot run an engine. The text says what it lacks."""


class Promise(StrEnum):
    """What must hold in each round."""

    KEPT = "nothing acknowledged is lost"
    ONCE = "each unit is sold once"
    ANSWERED = "each buyer gets an answer"
    AUDIT = "the audit finds nothing"
    TURN = "a try in time keeps its turn"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break an engine while a crowd buys. `strike` also repairs the engine, as an operator would."""

    engine: str
    name: str
    strike: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Round:
    """The result of one fault.

    `stood_s` is the longest time after it in which nothing was sold. `broken` has what contradicts each promise. A
    promise that is not in it was not looked at. `notes` are what else was measured.
    """

    fault: Fault
    orders: int
    stood_s: float
    broken: Mapping[Promise, Sequence[str]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def faults_found(self) -> list[str]:
        """Each contradiction as one sentence; empty if all promises held."""
        return [f"{promise}: {text}" for promise, texts in self.broken.items() for text in texts]


def play(
    faults: Sequence[Fault], rounds: int, one_round: Callable[[Fault, int], Round], *, seed: int
) -> Iterator[Round]:
    """Plays each fault so many times, one round after the other. The same seed gives the same crowds."""
    for number in range(rounds):
        for place, fault in enumerate(faults):
            yield one_round(fault, seed + number * len(faults) + place)


def table(rounds: Sequence[Round]) -> Table:
    """One row for each fault: rounds, orders, in how many rounds each promise was broken, and how long sales stood."""
    found = Table()
    for heading in ("engine", "fault", "rounds", "orders", *Promise, "stood (median)", "stood (longest)"):
        found.add_column(heading)
    by_fault: dict[tuple[str, str], list[Round]] = defaultdict(list)
    for one in rounds:
        by_fault[one.fault.engine, one.fault.name].append(one)
    for (engine, name), some in by_fault.items():
        stood = [one.stood_s for one in some]
        found.add_row(
            engine, name, str(len(some)), str(sum(one.orders for one in some)),
            *(_verdict([one.broken.get(promise) for one in some]) for promise in Promise),
            f"{statistics.median(stood):.1f} s", f"{max(stood):.1f} s",
        )  # fmt: skip
    return found


def _verdict(found: Sequence[Sequence[str] | None]) -> str:
    if all(texts is None for texts in found):
        return "-"
    count = sum(bool(texts) for texts in found)
    return f"BROKEN in {count}" if count else "held"


def to_document(one: Round) -> dict[str, Any]:
    """The round as JSON can hold it."""
    return {
        "engine": one.fault.engine, "fault": one.fault.name, "orders": one.orders, "stood_s": round(one.stood_s, 2),
        "broken": {promise.value: list(texts) for promise, texts in one.broken.items()}, "notes": dict(one.notes),
    }  # fmt: skip


def of_document(document: Mapping[str, Any]) -> Round:
    """The round of a document of `to_document`. Its fault cannot strike again."""
    fault = Fault(document["engine"], document["fault"], lambda: None)
    broken = {Promise(promise): texts for promise, texts in document["broken"].items()}
    return Round(fault, document["orders"], document["stood_s"], broken, document["notes"])
