"""Samples: what a running sale did in each second, for the live board. A sale does not depend on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from flashsale.models import Sale

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class LineSample:
    """The figures of a line. Counts of people grow from the publication on; `free`, `held` and `sold` are units now.

    `claimed`: called people whose turn is used (reserved, or left). `lapsed`: called people whose claim window ended.
    """

    code: str
    entered: int
    called: int
    claimed: int
    lapsed: int
    free: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of a sale at the end of a step: `at` is its last second.

    Counts grow from the publication on, so the difference of two samples is what happened between them; it can be
    negative after Redis has lost its memory. Times in ms are the worst of the step, None if nothing was measured.
    `refused`: how often each outcome (rules/outcomes.py) refused a request at the door. `door_requests` and
    `door_p95_ms`: requests of all verbs but `status`. `gate_ms`, `books_ms`: one round trip to Redis, one commit in
    PostgreSQL. `payments_waiting`: attempts to pay that are open. `review_backlog`: cases that people have not decided.
    """

    at: datetime
    phase: str
    lines: tuple[LineSample, ...]
    refused: Mapping[str, int]
    door_requests: int
    door_p95_ms: int | None
    gate_ms: int | None
    books_ms: int | None
    payments_waiting: int
    review_backlog: int

    def _sum(self, name: str) -> int:
        return sum(getattr(line, name) for line in self.lines)

    @property
    def entered(self) -> int:
        """People who entered, in all lines."""
        return self._sum("entered")

    @property
    def called(self) -> int:
        """People who were called, in all lines."""
        return self._sum("called")

    @property
    def claimed(self) -> int:
        """Called people who used their turn, in all lines."""
        return self._sum("claimed")

    @property
    def lapsed(self) -> int:
        """Called people whose claim window ended, in all lines."""
        return self._sum("lapsed")

    @property
    def free(self) -> int:
        """Units that may be taken, in all lines."""
        return self._sum("free")

    @property
    def held(self) -> int:
        """Units that are held and not paid, in all lines."""
        return self._sum("held")

    @property
    def sold(self) -> int:
        """Units that are sold, in all lines."""
        return self._sum("sold")


def recent(sale: Sale, since: datetime, until: datetime, step_s: int = 1) -> list[Sample]:
    """The samples of a sale with since <= `at` < until, one for each `step_s` seconds, the oldest first.

    Steps begin at multiples of `step_s` seconds since 1970, so the same span gives the same samples again. A step
    without a sample is left out.
    """
    del sale, since, until, step_s
    return []


def latest(sale: Sale) -> Sample | None:
    """The newest sample of a sale. None if it has none: it does not run, or nothing was measured in 24 hours."""
    del sale
    return None
