"""Plays rounds of faults, and makes a table of them: engine × fault × rounds × promise. Knows no engine.

A fault is data: the engine, its name, and what it does while a crowd buys. A module for each engine has its faults
(postgres_faults.py).
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rich.table import Table


class Promise(StrEnum):
    """What must hold in each round."""

    KEPT = "nothing acknowledged is lost"
    ONCE = "each unit is sold once"
    ANSWERED = "each buyer gets an answer"
    AUDIT = "the audit finds nothing"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break an engine while a crowd buys. `strike` also repairs the engine, as an operator would."""

    engine: str
    name: str
    strike: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Round:
    """The result of one fault.

    `stood_s` is the longest time after it in which nothing was sold. `broken` has what contradicts each promise.
    """

    fault: Fault
    orders: int
    stood_s: float
    broken: Mapping[Promise, Sequence[str]] = field(default_factory=dict)

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
        broken = [sum(bool(one.broken.get(promise)) for one in some) for promise in Promise]
        stood = [one.stood_s for one in some]
        found.add_row(
            engine, name, str(len(some)), str(sum(one.orders for one in some)),
            *("held" if not count else f"BROKEN in {count}" for count in broken),
            f"{statistics.median(stood):.1f} s", f"{max(stood):.1f} s",
        )  # fmt: skip
    return found
