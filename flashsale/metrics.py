"""The names of all metrics, and their counts in the memory of this process. Every floor may import it.

How this works: a process counts in memory, which costs less than a microsecond. Every few seconds it adds what is new
to the sums of all processes in Redis (gate/metrics.py). `GET /metrics` shows those sums, whichever process answers
(web/metrics_page.py), so Prometheus needs one address for all doors, web processes and workers.

A label has one of few values that the program or the operator chose. Nothing that a caller sends becomes a label, and
nothing about a person.
"""

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

Labels = tuple[str, ...]
# Sums of seconds are kept as whole microseconds, because Redis adds whole numbers exactly.
MICRO = 1_000_000
FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SLOW_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_S = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)

# Set by config/telemetry.py where OpenTelemetry is on: gets every histogram, value and labels.
listener: "Callable[[Histogram, float, Labels], None] | None" = None


class Metric:
    """A metric with its labels. `meaning` stands in docs/operate.md and in the answer of /metrics."""

    kind: ClassVar[str]

    def __init__(self, name: str, meaning: str, *labels: str) -> None:
        self.name, self.meaning, self.labels = name, meaning, labels
        # `x[i] += 1` loses nothing between threads: CPython switches between threads at calls and loops only.
        self._cells: dict[Labels, list[int]] = {}
        self._taken: dict[Labels, list[int]] = {}

    def growth(self) -> dict[Labels, list[int]]:
        """What was counted and not yet `taken`, by the values of the labels."""
        new = {}
        for labels, cell in list(self._cells.items()):
            taken = self._taken.get(labels) or [0] * len(cell)
            grown = [now - before for now, before in zip(cell, taken, strict=True)]
            if any(grown):
                new[labels] = grown
        return new

    def taken(self, growth: Mapping[Labels, Sequence[int]]) -> None:
        """Notes that this growth is stored elsewhere."""
        for labels, grown in growth.items():
            before = self._taken.get(labels) or [0] * len(grown)
            self._taken[labels] = [old + new for old, new in zip(before, grown, strict=True)]

    def forget(self) -> None:
        """Begins at nothing."""
        self._cells, self._taken = {}, {}


class Counter(Metric):
    """Counts what happened."""

    kind = "counter"

    def add(self, *labels: str, by: int = 1) -> None:
        """Counts `by` more of them."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells.setdefault(labels, [0])
        cell[0] += by

    def counts(self) -> dict[Labels, int]:
        """What this process has counted since its start, by the values of the labels."""
        return {labels: cell[0] for labels, cell in list(self._cells.items())}


class Histogram(Metric):
    """Counts values by size. A cell has a count for each bound, one for greater values, and the sum in millionths."""

    kind = "histogram"

    def __init__(self, name: str, meaning: str, *labels: str, bounds: Sequence[float]) -> None:
        super().__init__(name, meaning, *labels)
        self.bounds = tuple(bounds)

    def observe(self, value: float, *labels: str) -> None:
        """Counts a value: seconds, or a number of things."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells.setdefault(labels, [0] * (len(self.bounds) + 2))
        cell[bisect_left(self.bounds, value)] += 1
        cell[-1] += int(value * MICRO)
        if listener is not None:
            listener(self, value, labels)

    def add(self, counted: Sequence[int], *labels: str) -> None:
        """Adds a cell that was counted under other labels."""
        cell = self._cells.setdefault(labels, [0] * len(counted))
        for at, count in enumerate(counted):
            cell[at] += count


class Gauge(Metric):
    """A value that is read when it is asked for (web/metrics_page.py). No process counts it."""

    kind = "gauge"


DOOR_REQUESTS = Counter(
    "flashsale_door_requests", "Requests at the hot door. outcome: ok, or the code of the refusal", "verb", "outcome"
)
DOOR_SECONDS = Histogram("flashsale_door_request_seconds", "Time to answer at the hot door", "verb", bounds=SLOW_S)
GATE_SECONDS = Histogram("flashsale_gate_call_seconds", "Time of a call of Redis (the gate)", "call", bounds=FAST_S)
GATE_ERRORS = Counter("flashsale_gate_errors", "Calls of Redis without an answer", "call")
WRITER_SECONDS = Histogram(
    "flashsale_writer_commit_seconds", "Time to commit a batch of reservations in PostgreSQL", bounds=SLOW_S
)
WRITER_BATCH = Histogram("flashsale_writer_batch_size", "Reservations in one commit", bounds=SIZES)
WRITER_WAIT = Histogram(
    "flashsale_writer_wait_seconds", "How long the first reservation of a batch waited for the writer", bounds=SLOW_S
)
WRITER_FAILURES = Counter("flashsale_writer_failures", "Batches that PostgreSQL did not commit")
BATCH_SECONDS = Histogram(
    "flashsale_batch_seconds", "Time of a batch of other work in PostgreSQL, such as start-payments", "work",
    bounds=SLOW_S,
)  # fmt: skip
BATCH_SIZE = Histogram("flashsale_batch_size", "Items in such a batch", "work", bounds=SIZES)
PAYMENT_SECONDS = Histogram(
    "flashsale_payment_call_seconds", "Time of a call of a payment provider", "account", "call", bounds=SLOW_S
)
PAYMENT_CALLS = Counter(
    "flashsale_payment_calls", "Calls of a payment provider. result: ok, refused, busy, down", "account", "call",
    "result",
)  # fmt: skip
LANE_ROWS = Counter(
    "flashsale_lane_rows", "Rows that the lane of a payment account asked about. result: done, later, down",
    "account", "result",
)  # fmt: skip
NOTIFICATIONS = Counter(
    "flashsale_payment_notifications", "Notifications of payment providers that were stored", "account"
)
WEBHOOK_SECONDS = Histogram(
    "flashsale_webhook_call_seconds", "Time until the receiver of a partner's webhook answered", bounds=SLOW_S
)
WEBHOOK_CALLS = Counter(
    "flashsale_webhook_calls", "Messages to partners' webhooks. result: delivered, or why not", "result"
)
LETTERS = Counter("flashsale_letters", "Letters to buyers. result: sent, dropped, later, failed", "kind", "result")
TASK_SECONDS = Histogram("flashsale_task_seconds", "Time of a task of Celery", "task", bounds=LONG_S)
TASKS = Counter("flashsale_tasks", "Tasks of Celery that ended. state: success, failure, retry ...", "task", "state")
# By the code of the sale, for its samples. Not shown by /metrics.
SALE_DOOR_SECONDS = Histogram(
    "sale_door_seconds", "All verbs but status, by the code of the sale", "sale", bounds=SLOW_S
)
# What the door counts: one addition for each request. `fold` makes the three metrics of it.
_requests = Histogram("requests", "Requests at the hot door", "sale", "verb", "outcome", bounds=SLOW_S)

COUNTED: tuple[Counter | Histogram, ...] = (
    DOOR_REQUESTS, DOOR_SECONDS, GATE_SECONDS, GATE_ERRORS, WRITER_SECONDS, WRITER_BATCH, WRITER_WAIT, WRITER_FAILURES,
    BATCH_SECONDS, BATCH_SIZE, PAYMENT_SECONDS, PAYMENT_CALLS, LANE_ROWS, NOTIFICATIONS, WEBHOOK_SECONDS, WEBHOOK_CALLS,
    LETTERS, TASK_SECONDS, TASKS,
)  # fmt: skip

UP = Gauge("flashsale_up", "1 if Redis (gate) or PostgreSQL (books) answers, else 0", "part")
SIGN_AGE = Gauge(
    "flashsale_sign_of_life_age_seconds",
    "Seconds since a process ticked (tick), Celery's beat sent a task (beat), a worker ended a task (worker), samples "
    "were stored (sampler), promises were checked (monitor)",
    "sign",
)
QUEUE = Gauge("flashsale_celery_queue_length", "Tasks that wait in Celery's broker, as of the last monitor")
RUNNING = Gauge("flashsale_running_sales", "Sales that are sampled: from shortly before the opening to the last hold")
BROKEN = Gauge("flashsale_promise_broken", "1 if the monitor found the promise broken, else 0", "sale", "promise")
CHECK_AGE = Gauge("flashsale_check_age_seconds", "Seconds since the monitor checked the promises of a sale", "sale")
GATE_BEHIND = Gauge("flashsale_gate_behind_seconds", "For how long Redis lacks what PostgreSQL decided", "sale")
BOOKS_BEHIND = Gauge("flashsale_books_behind_seconds", "For how long PostgreSQL lacks what Redis took", "sale")
SALE_UNITS = Gauge("flashsale_sale_units", "Units now. state: free, held, sold", "sale", "line", "state")
SALE_PEOPLE = Gauge(
    "flashsale_sale_people", "People since the publication. step: entered, called, claimed, lapsed", "sale", "line",
    "step",
)  # fmt: skip
SALE_REFUSED = Gauge("flashsale_sale_refused", "Requests at the door that were refused, by reason", "sale", "reason")
SALE_P95 = Gauge("flashsale_sale_door_p95_seconds", "95 % of the last second's requests were faster", "sale")
SALE_PAYMENTS = Gauge("flashsale_sale_payments_waiting", "Attempts to pay that are open", "sale")
SALE_REVIEW = Gauge("flashsale_sale_review_backlog", "Cases of the review that people have not decided", "sale")
PAYMENTS_DUE = Gauge("flashsale_payment_rows_due", "Rows that are due: attempts, refunds, notifications", "rows")
PAYMENTS_LATE = Gauge("flashsale_payment_rows_late_seconds", "How late the oldest of these rows is", "rows")
WEBHOOKS_DUE = Gauge("flashsale_webhook_deliveries_due", "Deliveries to partners' webhooks that are due")
WEBHOOKS_LATE = Gauge("flashsale_webhook_deliveries_late_seconds", "How late the oldest of these deliveries is")
LETTERS_DUE = Gauge("flashsale_letters_due", "Letters that are due")
LETTERS_LATE = Gauge("flashsale_letters_late_seconds", "How late the oldest of these letters is")

READ: tuple[Gauge, ...] = (
    UP, SIGN_AGE, QUEUE, RUNNING, BROKEN, CHECK_AGE, GATE_BEHIND, BOOKS_BEHIND, SALE_UNITS, SALE_PEOPLE, SALE_REFUSED,
    SALE_P95, SALE_PAYMENTS, SALE_REVIEW, PAYMENTS_DUE, PAYMENTS_LATE, WEBHOOKS_DUE, WEBHOOKS_LATE, LETTERS_DUE,
    LETTERS_LATE,
)  # fmt: skip

# Signs of life: a name → ms since 1970; and values such as the length of a queue.
_signs: dict[str, int] = {}


def count_request(*, sale: str, verb: str, outcome: str, seconds: float) -> None:
    """Counts a request at the hot door. `sale` is the code of a sale that exists, or "" to count it for no sale."""
    _requests.observe(seconds, sale, verb, outcome)
    if listener is not None:
        listener(DOOR_SECONDS, seconds, (verb,))


def fold() -> None:
    """Adds the requests at the door since the last call to the metrics that are made of them."""
    growth = _requests.growth()
    for (sale, verb, outcome), cell in growth.items():
        DOOR_REQUESTS.add(verb, outcome, by=sum(cell[:-1]))
        DOOR_SECONDS.add(cell, verb)
        if sale and verb != "status":
            SALE_DOOR_SECONDS.add(cell, sale)
    _requests.taken(growth)


def sign(name: str, value: int | None = None) -> None:
    """Notes that a part of the system lives now (`name`), or a value about it."""
    _signs[name] = time.time_ns() // 1_000_000 if value is None else value


def take_signs() -> dict[str, int]:
    """The signs since the last call."""
    signs = dict(_signs)
    _signs.clear()
    return signs


def forget() -> None:
    """Begins at nothing, as a new process does."""
    for metric in (*COUNTED, SALE_DOOR_SECONDS, _requests):
        metric.forget()
    _signs.clear()


# A forked process would send once more what its parent has counted.
os.register_at_fork(after_in_child=forget)
