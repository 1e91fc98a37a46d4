"""Monitor: checks the promises of running sales every 10 s, on what has changed. A sale does not depend on it.

How this works. A check looks at the rows that were written since the last one (audit_scope.py), at sums of the whole
sale, and at what Redis says about both. The first check of a sale looks at everything, and every WHOLE_EVERY a check
compares everything that Redis has. It uses the checks of `manage.py audit`, without those of promise 7 (it reads all
places), of settlements and of the trail. A fault counts if it is there in each of several reads, because a message to
Redis may be on its way. While a sale has a fault, its checks look as far back as the one that found it, so a fault
stays until it is gone.

Celery runs it, or `manage.py monitor` where no Celery runs. One process at a time checks. If it dies, the next one goes
on from the last check that is stored.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Q, QuerySet
from django.utils import timezone

from flashsale import metrics
from flashsale.gate import bridge, inspect
from flashsale.gate import metrics as gate_metrics
from flashsale.gate.client import GateDown
from flashsale.life import audit
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.audit_events import unlike_events
from flashsale.life.audit_scope import Marks, Scope, Touched, touched_since
from flashsale.life.sale_card import card_of
from flashsale.life.samples import running_sales
from flashsale.models import Reservation, Sale, SaleCheck
from flashsale.models.sale import ms
from flashsale.rules.states import ReservationState

log = logging.getLogger(__name__)

PERIOD_S = 10.0
WHOLE_EVERY = timedelta(minutes=10)
# With more, everything is looked at.
TOUCHED_MAX = 30_000
# Texts of one promise that are stored.
TEXTS_MAX = 20
# A lost message is sent again within ten seconds (mend_sales.py), so it is looked for among what is not much older.
BEHIND_MAX, LATELY = 5000, timedelta(minutes=1)
MONITOR_LOCK = 18
SHOWN_FOR = timedelta(hours=1)

# Those that compare rows with what Redis has of them. Redis may change without a row.
WITH_REDIS = frozenset({1, 3})
CHECKS: Mapping[int, audit.Check] = {
    **{promise: check for promise, check in audit.CHECKS.items() if promise != 7},
    0: unlike_events,
}
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
    """The last check of a sale: at `at`, with everything that Redis has at `whole_at` (None: not yet).

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
    `unchecked`: codes of running sales that were never checked. `gate_answers`: whether Redis answered just now.
    `ages_s`: seconds since the last sign of life, by the names in SIGNS; None if there was none, or Redis does not
    answer.
    """

    sales: Mapping[str, SalePromises]
    unchecked: tuple[str, ...]
    gate_answers: bool
    ages_s: Mapping[str, float | None]


def latest() -> Monitored:
    """The last checks, and the signs of life. Never raises GateDown. Raises django.db.Error."""
    now = timezone.now()
    running = {sale.pk: sale.code for sale in running_sales(now)}
    rows = SaleCheck.objects.filter(Q(at__gt=now - SHOWN_FOR) | Q(sale__in=running)).select_related("sale")
    checks = {row.sale.code: _promises(row) for row in rows.order_by("sale__opens_at", "pk")}
    try:
        signs, answers = bridge.run(gate_metrics.signs()), True
    except GateDown:
        signs, answers = {}, False
    ages = {name: max(0.0, now.timestamp() - signs[name] / 1000) if name in signs else None for name in SIGNS}
    return Monitored(checks, tuple(code for code in running.values() if code not in checks), answers, ages)


def _promises(row: SaleCheck) -> SalePromises:
    return SalePromises(
        sale=row.sale_id, code=row.sale.code, at=row.at, whole_at=row.whole_at, took_ms=row.took_ms,
        broken=tuple(Broken(*fault) for fault in row.broken), broken_since=row.broken_since,
        gate_behind_s=row.gate_behind_s, books_behind_s=row.books_behind_s,
    )  # fmt: skip


def check_all() -> list[SalePromises]:
    """Checks the running sales; returns the checks. None if another process checks now. Raises django.db.Error.

    A sale that cannot be checked now, because Redis does not answer or loads it, keeps its last check.
    """
    found = []
    with advisory_lock(MONITOR_LOCK, 0, wait=False) as is_mine:
        if not is_mine:
            return []
        for sale in running_sales(timezone.now()):
            try:
                found.append(_promises(_check(sale)))
            except GateDown as error:
                log.warning("%s cannot be checked now: %s", sale.code, error)
            except DatabaseError:
                raise
            except Exception:  # the other sales are checked all the same
                log.exception("%s cannot be checked", sale.code)
    metrics.sign("monitor")
    return found


def _check(sale: Sale) -> SaleCheck:
    """Checks a sale and stores the result. Raises GateDown, and then stores nothing."""
    began, now = time.monotonic(), timezone.now()
    row = SaleCheck.objects.filter(sale=sale).first() or SaleCheck(sale=sale, at=now)
    known = _marks(row.state)
    marks = Marks.now(sale, known)
    touched = _touched(sale, known)
    is_whole = touched is None or row.whole_at is None or now - row.whole_at > WHOLE_EVERY
    faults = _faults(sale, touched, is_whole=is_whole)
    row.gate_behind_s, row.books_behind_s = _gate_behind_s(sale, now), _books_behind_s(sale, now)
    row.broken = [
        [promise, audit.TITLES.get(promise, audit.EVENTS), text]
        for promise, texts in sorted(faults.items()) for text in texts[:TEXTS_MAX]
    ]  # fmt: skip
    if not row.broken:
        row.broken_since, row.state = None, {"xid": marks.xid, "first": dict(marks.first)}
        row.whole_at = now if is_whole else row.whole_at
    elif row.broken_since is None:
        row.broken_since = now
        log.error("%s: a promise is broken: %s", sale.code, "; ".join(text for _, _, text in row.broken))
    row.at, row.took_ms = now, round((time.monotonic() - began) * 1000)
    row.save()
    row.sale = sale
    return row


def _marks(state: Mapping[str, Any]) -> Marks | None:
    return Marks(state["xid"], state["first"]) if state.get("xid") is not None else None


def _touched(sale: Sale, known: Marks | None) -> Touched | None:
    """What the check looks at; None for everything."""
    touched = touched_since(sale, known) if known else None
    if touched is None or len(touched.reservations) + len(touched.units) > TOUCHED_MAX:
        return None
    return touched


def _faults(sale: Sale, touched: Touched | None, *, is_whole: bool) -> dict[int, list[str]]:
    """The faults that are there in each of several reads, by promise. Raises GateDown."""
    scopes = {promise: None if is_whole and promise in WITH_REDIS else touched for promise in CHECKS}
    found = _read(sale, scopes)
    for _again in range(audit.READS - 1):
        if not found:
            break
        time.sleep(audit.READ_AGAIN_S)
        again = _read(sale, {promise: scopes[promise] for promise in found})
        still = {
            promise: [text for text in texts if text in again.get(promise, ())] for promise, texts in found.items()
        }
        found = {promise: texts for promise, texts in still.items() if texts}
    return found


def _read(sale: Sale, scopes: Mapping[int, Touched | None]) -> dict[int, list[str]]:
    fresh = Sale.objects.select_related("campaign").get(pk=sale.pk)
    scope = Scope(fresh.campaign, (fresh,))
    audit.refuse_half_loaded(scope)
    found = {promise: list(CHECKS[promise](replace(scope, touched=touched))) for promise, touched in scopes.items()}
    return {promise: texts for promise, texts in found.items() if texts}


def _books_behind_s(sale: Sale, now: datetime) -> float:
    """For how long PostgreSQL has not got the oldest hold that Redis has, in seconds on the line's clock."""
    due = bridge.run(inspect.holds_by_deadline(card_of(sale), most=BEHIND_MAX))
    known = Reservation.objects.filter(pk__in=due).values_list("pk", flat=True)
    missing = [due[id_] for id_ in due.keys() - {str(id_) for id_ in known}]
    if not missing:
        return 0.0
    taken_ms = min(missing) - sale.hold_s * 1000
    return round(max(0, sale.line_ms(ms(now)) - taken_ms) / 1000, 1)


def _gate_behind_s(sale: Sale, now: datetime) -> float:
    """For how long Redis has not got the oldest order or end that PostgreSQL has, in seconds."""
    card = card_of(sale)
    orders = Reservation.objects.filter(
        sale=sale, state=ReservationState.CONFIRMED, confirmed_at__range=(now - LATELY, now)
    )
    ends = Reservation.objects.filter(sale=sale, ended_at__range=(now - LATELY, now), limit_slots=None)
    ordered, ended = _oldest(orders, "confirmed_at"), _oldest(ends, "ended_at")
    missed = [ordered[id_] for id_ in bridge.run(inspect.still_due(card, list(ordered)))]
    missed += [ended[id_] for id_ in bridge.run(inspect.still_held(card, list(ended)))]
    return round((now - min(missed)).total_seconds(), 1) if missed else 0.0


def _oldest(rows: "QuerySet[Reservation]", at: str) -> dict[str, datetime]:
    """When the oldest of these reservations came into their state, by id."""
    found: list[tuple[Any, datetime]] = list(rows.order_by(at).values_list("pk", at)[:BEHIND_MAX])
    return {str(id_): time_ for id_, time_ in found}
