"""Monitor: checks the promises of running sales every 10 s, on what has changed. A sale does not depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

# Of the periodic work. `tick`: a process ticked the sales; `beat`: Celery's beat sent a task; `worker`: a Celery worker
# finished a task; `sampler`: samples were stored; `monitor`: the promises were checked.
SIGNS = ("tick", "beat", "worker", "sampler", "monitor")


@dataclass(frozen=True, slots=True)
class Broken:
    """A fault: the promise (1 to 14; 0 for the events), its title, and the text."""

    promise: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class SalePromises:
    """The last check of a sale: at `at`, as a whole at `whole_at` (None: not yet).

    `broken_since` is the first check in a row that found a fault; None if there is none. `gate_behind_s`: for how long
    Redis has not got what PostgreSQL decided. `books_behind_s`: for how long PostgreSQL has not got what Redis took.
    """

    sale: int
    code: str
    at: datetime
    whole_at: datetime | None
    took_ms: int
    broken: tuple[Broken, ...]
    broken_since: datetime | None
    gate_behind_s: float
    books_behind_s: float


@dataclass(frozen=True, slots=True)
class Monitored:
    """What the monitor knows now.

    `sales`: the last check of each sale that runs, or whose last check is younger than an hour, by its code.
    `unchecked`: codes of running sales that were never checked. `gate_answers`: whether Redis answered just now. `ages_s`:
    seconds since the last sign of life, by the names in SIGNS; None if there was none, or Redis does not answer.
    """

    sales: Mapping[str, SalePromises]
    unchecked: tuple[str, ...]
    gate_answers: bool
    ages_s: Mapping[str, float | None]


def latest() -> Monitored:
    """The last checks, and the signs of life. Never raises GateDown. Raises django.db.Error."""
    return Monitored({}, (), gate_answers=True, ages_s=dict.fromkeys(SIGNS))
