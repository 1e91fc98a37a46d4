"""The public fairness report on a sale that is over: figures from PostgreSQL (the books), without personal data.

Some figures are only in Redis (the gate): refusals, people who were called and did not come, and the times of calls.
They are copied to PostgreSQL with each report, and at the latest when the sale is removed from Redis.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Sum

from flashsale.gate import bridge, inspect, sale_cards
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import appeal, fairness_figures
from flashsale.life.audit import out_of_order, trail_head
from flashsale.life.sale_card import card_of
from flashsale.life.transcript import false_of
from flashsale.models import (
    Allocation,
    Appeal,
    Cancellation,
    FairnessReport,
    Move,
    PaymentAttempt,
    Reservation,
    Sale,
    Stock,
    Trait,
    Unit,
)
from flashsale.models.sale import ms
from flashsale.rules import wall_clock
from flashsale.rules.gini import GROUP_MIN, gini, merge_small_groups
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import BOUGHT, AllocationMode, Phase, ReservationState, UnitState

# A crowd may read the report, so it is computed at most once in this time.
FRESH = timedelta(seconds=30)
# The most points of a line's calls that are kept for the chart.
POINTS_MAX = 60
OVER = {Phase.CLOSED, Phase.CALLED_OFF}


def report(*, sale: Sale, force: bool = False) -> dict[str, Any]:
    """The report on a sale that is over, at most FRESH old; `force` makes a new one. Refuses NOT_FOUND before that.

    After the campaign is erased, it is the last report that was made.
    """
    if sale.phase(wall_clock.now_ms()) not in OVER:
        raise Refused(Outcome.NOT_FOUND, "The report is made when the sale is over.")
    row = FairnessReport.objects.filter(sale=sale).first()
    old = row is None or row.made_at is None or row.made_at < wall_clock.now() - FRESH
    if (old or force) and not sale.campaign.erased_at:
        row = _make(sale, wait=force or row is None or row.made_at is None, force=force) or row
    assert row is not None
    return {**fairness_figures.NOT_COUNTED, **row.document}


def store_gate_counts(*, sale: Sale) -> FairnessReport:
    """Copies figures from Redis to PostgreSQL, if Redis still has them. Raises GateDown. Safe to repeat."""
    counted = bridge.run(_counted(card_of(sale)))
    row, _ = FairnessReport.objects.get_or_create(sale=sale)
    for line in sale.allocations.filter(code__in=counted.get("lines", {})):
        figures = counted["lines"][line.code]
        figures["before_call"] = _before_call(line, sale.epoch, figures.pop("waves"))
    if counted:
        FairnessReport.objects.filter(pk=row.pk).update(counted=counted)
        row.counted = counted
    return row


def _make(sale: Sale, *, wait: bool, force: bool) -> FairnessReport | None:
    """Makes a new report, by one process at a time. None if another process makes it and `wait` is false."""
    try:
        row = store_gate_counts(sale=sale)
    except GateDown:
        row, _ = FairnessReport.objects.get_or_create(sale=sale)
    skip = not wait and connection.features.has_select_for_update_skip_locked
    with transaction.atomic():
        held = FairnessReport.objects.select_for_update(skip_locked=skip).filter(pk=row.pk).first()
        now = wall_clock.now()
        if held is None or (held.made_at and held.made_at >= now - FRESH and not force):
            return held
        held.document, held.made_at = _document(sale, row.counted, now), now
        held.save(update_fields=["document", "made_at"])
        return held


async def _counted(card: SaleCard) -> dict[str, Any]:
    """The figures of the sale in Redis; empty once the sale is removed from Redis."""
    if card.code not in await sale_cards.sale_codes() or await inspect.revision(card) is None:
        return {}
    return {
        "refused": await inspect.refusals(card),
        "lines": {
            line.code: await _line_counted(card, line) for line in card.lines if line.mode == AllocationMode.LINE
        },
    }


async def _line_counted(card: SaleCard, line: LineCard) -> dict[str, Any]:
    figures = await inspect.counters(card, line)
    waves = await inspect.waves(card, line)
    step = max(1, len(waves) // POINTS_MAX)
    drawn = [*waves[:-1:step], *waves[-1:]]
    return {
        "entered": figures["entered"],
        "called": figures["called"],
        "unclaimed": await inspect.unclaimed(card, line, called=figures["called"]),
        "calls": [[max(0, at - card.opens_at) // 1000, last] for last, at in drawn],
        "waves": waves,
    }


def _before_call(line: Allocation, epoch: int, waves: list[tuple[int, int]]) -> int:
    """How many reservations were made before their number was called.

    Only those of this epoch count, because Redis after a rebuild knows only its own calls.
    """
    lasts = [last for last, _ in waves]
    rows = Reservation.objects.filter(allocation=line, epoch=epoch).exclude(state=ReservationState.ABANDONED)
    early = 0
    for number, made_at in rows.values_list("number", "made_at").iterator():
        wave = bisect_left(lasts, number)
        early += wave == len(waves) or waves[wave][1] > ms(made_at)
    return early


def _document(sale: Sale, counted: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The report as it is published (web/api/fairness_report.py describes every field)."""
    lines = list(sale.allocations.order_by("line_id"))
    known = counted.get("lines", {})
    position, _, head = trail_head().partition(":")
    bought = Trait.objects.filter(reservation__sale=sale)
    sizes = {"bought": _sizes(bought), "kept": _sizes(bought.filter(reservation__state=ReservationState.CONFIRMED))}
    told = [_line(line, known.get(line.code, {})) for line in lines]
    spread = _concentration(sale, sizes)
    timeline = fairness_figures.over_time(sale, told)
    return {
        "version": 1,
        "sale": sale.code,
        "name": sale.name,
        "campaign": sale.campaign.code,
        "phase": sale.phase(ms(now)),
        "opened_at": sale.opens_at.isoformat(),
        "closed_at": sale.closes_at.isoformat(),
        "made_at": now.isoformat(),
        "limit": sale.limit or sale.campaign.limit,
        "rebuilds": max(0, sale.epoch - 1),
        "rules": {"number": sale.rules.version, "hash": sale.rules.hash} if sale.rules else None,
        "draw": {
            "drawn": sale.frozen_at is not None,
            "verified": sale.frozen_at is not None and not false_of(sale, leaves=True),
            "commitment": sale.commitment,
        },
        "order": _order(sale, lines, known),
        "headline": fairness_figures.headline(told, spread, timeline),
        "over_time": timeline,
        "by_entering": fairness_figures.by_entering(sale, told),
        "lines": told,
        "channels": _channels(sale),
        "reservations": _states(sale),
        "refused": _refused(counted.get("refused", {})),
        "concentration": spread,
        "more_than_one": fairness_figures.more_than_one(sizes["kept"]),
        "cancellations": _cancellations(sale),
        "returned": _returned(sale),
        "trail": {"records": int(position), "head": head},
    }


def _order(sale: Sale, lines: list[Allocation], known: dict[str, Any]) -> dict[str, Any]:
    """Whether numbers fit indexes and calls. `before_call` is null if the calls were never copied from Redis."""
    made = Reservation.objects.filter(sale=sale).exclude(state=ReservationState.ABANDONED).count()
    wrong = early = 0
    for line in lines:
        figures = known.get(line.code, {})
        called = max(line.called, figures.get("called", 0))
        if line.cohort is not None and line.mode == AllocationMode.LINE:
            wrong += sum(1 for _ in out_of_order(sale, line, called=called))
        early += figures.get("before_call", 0)
    return {
        "kept": not wrong and not early,
        "reservations": made,
        "wrong": wrong,
        "before_call": early if known else None,
    }


def _line(line: Allocation, figures: dict[str, Any]) -> dict[str, Any]:
    here = dict(Unit.objects.filter(allocation=line).values_list("state").annotate(count=Count("pk")))
    new = Stock.objects.filter(allocation=line).aggregate(total=Sum("quantity"))["total"] or 0
    return {
        "line": line.code,
        "name": line.name or line.code,
        "by_our_line": line.mode == AllocationMode.LINE,
        "cohort": line.cohort,
        "entered": max(line.entered, figures.get("entered", 0)),
        "called": max(line.called, figures.get("called", 0)),
        "no_shows": figures.get("unclaimed"),
        "calls": figures.get("calls", []),
        "units": {
            "new": new,
            "moved_in": line.moves_in.count(),
            "moved_out": line.moves_out.count(),
            **{state.value: here.get(state.value, 0) for state in UnitState},
        },
    }


def _channels(sale: Sale) -> list[dict[str, Any]]:
    """Units by channel: bought, and kept after cancellations."""
    bought = Reservation.objects.filter(sale=sale, confirmed_at__isnull=False)
    kept = dict(_units_by(bought.filter(state=ReservationState.CONFIRMED), "channel__code"))
    names = dict(sale.campaign.channels.filter(allocations__sale=sale).values_list("code", "name"))
    by_channel = dict(_units_by(bought, "channel__code"))
    return [
        {"channel": code, "name": name, "bought": by_channel.get(code, 0), "kept": kept.get(code, 0)}
        for code, name in sorted(names.items())
    ]


def _units_by(rows: Any, field: str) -> Any:
    return rows.order_by().values_list(field).annotate(units=Sum("quantity"))


def _states(sale: Sale) -> dict[str, int]:
    rows = Reservation.objects.filter(sale=sale).exclude(state=ReservationState.ABANDONED)
    found = dict(rows.order_by().values_list("state").annotate(count=Count("pk")))
    return {s.value: found.get(s.value, 0) for s in ReservationState if s != ReservationState.ABANDONED}


def _refused(found: dict[str, int]) -> list[dict[str, Any]]:
    """Counts of refused requests, not of people: ten refused requests of one person count ten."""
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [dict(zip(("verb", "reason"), key.split(" "), strict=True)) | {"times": times} for key, times in ordered]


def _concentration(sale: Sale, sizes: Mapping[str, Mapping[str, Counter[int]]]) -> list[dict[str, Any]]:
    """By axis: the number of holders, the largest one's units, and the Gini coefficient; for bought and kept units."""
    axes = sale.campaign.axes.order_by("-hard", "axis").values_list("axis", "hard")
    return [
        {"axis": axis, "limited": hard}
        | {name: _spread(by_axis.get(axis, Counter())) for name, by_axis in sizes.items()}
        for axis, hard in axes
    ]


def _spread(found: Counter[int]) -> dict[str, Any]:
    return {"holders": found.total(), "largest": max(found, default=0), "gini": gini(found)}


def _sizes(traits: Any) -> dict[str, Counter[int]]:
    """By axis: how many phones, addresses … have so many units."""
    # The database counts the holders by size, because there may be a row for each unit and axis.
    holders = traits.order_by().values_list("axis", "digest").annotate(units=Sum("reservation__quantity"))
    sql, params = holders.query.sql_with_params()
    sizes: dict[str, Counter[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT axis, units, COUNT(*) FROM ({sql}) AS held GROUP BY axis, units", params)  # noqa: S608
        for axis, units, count in cursor.fetchall():
            sizes.setdefault(axis, Counter())[int(units)] += count
    return sizes


def _cancellations(sale: Sale) -> dict[str, Any]:
    rows = Cancellation.objects.filter(reservation__sale=sale)
    reasons = Counter(rows.values_list("reason", flat=True))
    paid = PaymentAttempt.objects.filter(reservation__cancellation__in=rows, state__in=BOUGHT).prefetch_related(
        "refunds"
    )
    return {
        "total": rows.count(),
        "reasons": _as_rows(merge_small_groups(reasons), "reason"),
        "appeals": _appeals(sale),
        "ledger": _ledger(sale),
        "refunds": _as_rows(Counter(str(attempt.payment_state) for attempt in paid), "state"),
    }


def _ledger(sale: Sale) -> list[dict[str, Any]]:
    """How often each rule's cancellations were overturned; only rules with at least GROUP_MIN cancelled orders."""
    entries = (entry for entry in appeal.ledger(sale=sale) if entry.cancelled >= GROUP_MIN)
    return [
        asdict(entry) | {"precision": None if entry.precision is None else round(entry.precision, 3)}
        for entry in entries
    ]


def _appeals(sale: Sale) -> dict[str, Any]:
    """How many appeals came, and their outcomes; small groups are folded, so that no person can be identified."""
    outcomes = Counter(Appeal.objects.filter(case__reservation__sale=sale).values_list("state", flat=True))
    return {"received": outcomes.total(), "outcomes": _as_rows(merge_small_groups(outcomes), "outcome")}


def _as_rows(counts: dict[str, int], name: str) -> list[dict[str, Any]]:
    return [{name: key, "orders": count} for key, count in counts.items()]


def _returned(sale: Sale) -> dict[str, Any]:
    """Units of cancelled orders: resting + restored + moved = units. Moved units are listed with their state now.

    `to_line` counts the units besides these, which went back to their line while the sale was running.
    """
    all_cancelled = Reservation.objects.filter(sale=sale, cancellation__isnull=False)
    to_line = all_cancelled.filter(cancellation__back_to_line=True).aggregate(total=Sum("quantity"))["total"] or 0
    cancelled = all_cancelled.filter(cancellation__back_to_line=False)
    came = dict(cancelled.order_by().values_list("state").annotate(units=Sum("quantity")))
    moves = Move.objects.filter(plan__source=sale).order_by()
    by_sale: dict[str, dict[str, Any]] = {}
    for code, name, state, count in moves.values_list(
        "target__sale__code", "target__sale__name", "unit__state"
    ).annotate(count=Count("pk")):
        entry = by_sale.setdefault(code, {"sale": code, "name": name, "units": 0, "states": {}})
        entry["units"] += count
        entry["states"][state] = count
    return {
        "to_line": to_line,
        "units": sum(came.values()),
        "restored": came.get(ReservationState.CONFIRMED.value, 0),
        "resting": Unit.objects.filter(allocation__sale=sale, state=UnitState.RETURNED).count(),
        "moved": [by_sale[code] for code in sorted(by_sale)],
        "came_in": Move.objects.filter(target__sale=sale, plan__isnull=False).count(),
    }
