"""Samples: what a running sale did in each second, for the live board. A sale does not depend on them.

How this works. Each web process looks at every tick whether a new second has begun; one of them has the lease and takes
the samples of that second (gate/sampling.py). A sale is sampled from AHEAD before its opening until its last hold may
end. Other sales cost one query a second for all of them. The figures come from Redis, and all rows of a second are
written in one commit, whose time is the next sample's `books_ms`. While PostgreSQL does not answer, the rows of the
last minutes wait in memory. While Redis does not answer, there is nothing to sample. The work has a thread of its own.
Celery deletes samples after a day.
"""

import asyncio
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import Error
from django.db.models import Count, F, Max
from django.utils import timezone

from flashsale import metrics
from flashsale.gate import inspect, sale_cards, sampling, scripts
from flashsale.gate import metrics as gate_metrics
from flashsale.gate.client import GateCache, GateDown
from flashsale.life.db_threads import run_in_sampling_thread
from flashsale.life.single_flight import SingleFlight
from flashsale.life.status import phase_of
from flashsale.models import Case, PaymentAttempt, Sale, SaleSample
from flashsale.models.sale import ms
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import OPEN_ATTEMPTS, CaseState, SaleState

log = logging.getLogger(__name__)

KEPT = timedelta(hours=24)
AHEAD = timedelta(minutes=10)
# The clock of a sale that runs is renewed more often than this.
STOOD_MS = 30_000
# How often a process looks whether a new second has begun.
LOOK_S = 0.25
# What waits for payments and reviews is counted this often, because the rows of a large sale take a while.
COUNT_S = 5.0
# Samples that wait for PostgreSQL: five minutes of two sales.
WAITING_MAX = 600
DELETED_AT_ONCE = 5000


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
    without a sample is left out. Raises ValueError if `step_s` is less than 1.
    """
    if step_s < 1:
        raise ValueError(f"step_s is {step_s}; a step has at least 1 second")
    first, end = math.ceil(since.timestamp()), math.ceil(until.timestamp())
    rows = SaleSample.objects.filter(sale=sale, second__gte=first, second__lt=end)
    if step_s == 1:
        return [_sample(row) for row in rows.order_by("second")]
    steps = rows.annotate(step=F("second") / step_s).values("step").order_by("step")
    worst = {
        step["last"]: step
        for step in steps.annotate(
            last=Max("second"), door=Max("door_p95_ms"), gate=Max("gate_ms"), books=Max("books_ms")
        )
    }
    found = []
    for row in SaleSample.objects.filter(sale=sale, second__in=worst).order_by("second"):
        step = worst[row.second]
        row.door_p95_ms, row.gate_ms, row.books_ms = step["door"], step["gate"], step["books"]
        found.append(_sample(row))
    return found


def latest(sale: Sale) -> Sample | None:
    """The newest sample of a sale. None if it has none: it did not run in the last 24 hours."""
    row = SaleSample.objects.filter(sale=sale).order_by("-second").first()
    return None if row is None else _sample(row)


def _sample(row: SaleSample) -> Sample:
    return Sample(
        at=datetime.fromtimestamp(row.second, UTC), phase=row.phase,
        lines=tuple(LineSample(*line) for line in row.lines), refused=row.refused, door_requests=row.door_requests,
        door_p95_ms=row.door_p95_ms, gate_ms=row.gate_ms, books_ms=row.books_ms,
        payments_waiting=row.payments_waiting, review_backlog=row.review_backlog,
    )  # fmt: skip


def forget_old() -> int:
    """Deletes samples after KEPT, at most DELETED_AT_ONCE. Safe to repeat. Returns how many."""
    before = int((timezone.now() - KEPT).timestamp())
    old = SaleSample.objects.filter(second__lt=before).order_by("second").values_list("pk", flat=True)
    deleted, _ = SaleSample.objects.filter(pk__in=list(old[:DELETED_AT_ONCE])).delete()
    return deleted


def running_sales(now: datetime) -> list[Sale]:
    """The sales that are sampled and monitored: from AHEAD before the opening until the last hold may end.

    No test sales of sandboxes. `campaign` and `clock` are loaded.
    """
    rows = Sale.objects.filter(
        state__in=[SaleState.PUBLISHED, SaleState.PAUSED], opens_at__lte=now + AHEAD, campaign__sandbox_of=None
    )
    rows = rows.select_related("campaign", "clock").order_by("opens_at", "pk")
    return [sale for sale in rows if _runs(sale, ms(now))]


def _runs(sale: Sale, wall_ms: int) -> bool:
    over_for = sale.line_ms(wall_ms) - ms(sale.closes_at)
    # The clock of a sale that is over stands when no unit is held any more (clock_lease.py).
    return over_for < 0 or (over_for < sale.hold_s * 1000 and wall_ms < sale.lease.until + STOOD_MS)


@dataclass
class _Sampler:
    """What the sampler of an event loop knows.

    `cells`: by sale id, the requests at the door at its last sample. `counts`: by sale id, open attempts and cases.
    """

    second: int = 0
    sales: Sequence[Sale] = ()
    counts: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    counted_at: float = -math.inf
    cells: dict[int, list[int]] = field(default_factory=dict)
    waiting: deque[SaleSample] = field(default_factory=lambda: deque(maxlen=WAITING_MAX))
    books_ms: int | None = None
    reading: SingleFlight = field(default_factory=SingleFlight)
    storing: SingleFlight = field(default_factory=SingleFlight)


SAMPLERS: GateCache[None, _Sampler] = GateCache()


async def take() -> None:
    """Takes the samples of this second, if it has none yet and this process is the sampler. Raises GateDown.

    Never raises another error, because the ticks of the sales run beside it.
    """
    sampler = SAMPLERS.entries().setdefault(None, _Sampler())
    second = int(time.time())
    if second == sampler.second:
        return
    sampler.second = second
    try:
        if await sampling.is_mine():
            await _take(sampler, second)
        else:
            sampler.cells.clear()
    except GateDown:
        raise
    except Exception:
        log.exception("the samples of a second are missing")


async def _take(sampler: _Sampler, second: int) -> None:
    try:
        await sampler.reading.run(partial(run_in_sampling_thread, _read, sampler))
    except (Error, TimeoutError) as error:
        log.warning("running sales cannot be read, and are sampled as before: %s", error)
    found = await asyncio.gather(*(_of_sale(sampler, sale, second) for sale in sampler.sales))
    sampler.waiting.extend(row for row in found if row is not None)
    if not sampler.waiting:
        metrics.sign("sampler")
        return
    sampler.books_ms = None
    try:
        await sampler.storing.run(partial(run_in_sampling_thread, _store, sampler))
    except (Error, TimeoutError) as error:
        log.warning("%s samples wait for PostgreSQL: %s", len(sampler.waiting), error)


def _read(sampler: _Sampler) -> None:
    """Reads which sales run, and every COUNT_S seconds what waits in them."""
    sampler.sales = running_sales(timezone.now())
    if not sampler.sales or time.monotonic() - sampler.counted_at < COUNT_S:
        return
    sampler.counted_at = time.monotonic()
    ids = [sale.pk for sale in sampler.sales]
    attempts = PaymentAttempt.objects.filter(state__in=OPEN_ATTEMPTS, reservation__sale__in=ids)
    cases = Case.objects.filter(state__in=[CaseState.OPEN, CaseState.PROPOSED], reservation__sale__in=ids)
    paying, reviewed = (
        dict(rows.order_by().values_list("reservation__sale").annotate(Count("pk"))) for rows in (attempts, cases)
    )
    sampler.counts = {id_: (paying.get(id_, 0), reviewed.get(id_, 0)) for id_ in ids}


def _store(sampler: _Sampler) -> None:
    """Writes the rows that wait, in one commit. Another sampler may have written the same second."""
    rows = list(sampler.waiting)
    began = time.monotonic()
    SaleSample.objects.bulk_create(rows, ignore_conflicts=True)
    sampler.books_ms = math.ceil((time.monotonic() - began) * 1000)
    for row in rows:
        # The oldest may have been pushed out meanwhile.
        if sampler.waiting and sampler.waiting[0] is row:
            sampler.waiting.popleft()
    metrics.sign("sampler")


async def _of_sale(sampler: _Sampler, sale: Sale, second: int) -> SaleSample | None:
    """The sample of a sale; None while Redis has not loaded it. Raises GateDown."""
    card = await sale_cards.card_of(sale.code)
    if card is None:
        return None
    lines, phase, gate_ms = [], "", 0
    for line in card.lines:
        began = time.monotonic()
        figures = await scripts.survey(card, line)
        if isinstance(figures, Outcome):
            return None
        gate_ms = max(gate_ms, math.ceil((time.monotonic() - began) * 1000))
        phase = str(phase_of(card, figures))
        claimed = await inspect.turns_used(card, line, called=figures.called)
        lines.append([
            line.code, figures.entered - figures.gaps, figures.called, claimed,
            max(0, figures.called - claimed - figures.open_claims), sum(figures.free.values()), figures.held,
            figures.sold,
        ])  # fmt: skip
    refused: Counter[str] = Counter()
    for verb_and_word, times in (await inspect.refusals(card)).items():
        refused[verb_and_word.rpartition(" ")[2]] += times
    cell = await gate_metrics.requests_of(card)
    before = sampler.cells.get(card.sale)
    sampler.cells[card.sale] = cell
    paying, reviewed = sampler.counts.get(card.sale, (0, 0))
    return SaleSample(
        sale=sale, second=second, phase=phase, lines=lines, refused=refused, door_requests=sum(cell[:-1]),
        door_p95_ms=None if before is None else percentile_ms(before, cell), gate_ms=gate_ms,
        books_ms=sampler.books_ms, payments_waiting=paying, review_backlog=reviewed,
    )  # fmt: skip


def percentile_ms(before: Sequence[int], after: Sequence[int], *, share: float = 0.95) -> int | None:
    """The time within which this share of the requests between two cells of SALE_DOOR_SECONDS was answered, in ms.

    Between two bounds the times count as evenly spread. Above the last bound, the last bound is the answer. None
    without a request, and after Redis has lost its memory.
    """
    grown = [now - then for now, then in zip(after[:-1], before[:-1], strict=True)]
    if not sum(grown) or min(grown) < 0:
        return None
    bounds, wanted, lower = metrics.SALE_DOOR_SECONDS.bounds, share * sum(grown), 0.0
    for bound, count in zip(bounds, grown, strict=False):
        if count and wanted <= count:
            return round((lower + (bound - lower) * wanted / count) * 1000)
        wanted, lower = wanted - count, bound
    return round(bounds[-1] * 1000)
