"""The history of the units in the database: sale → reservation → case → cancellation → next sale → new owner."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flashsale.models import Cancellation, Case, Move, ReservationUnit, Unit
from flashsale.models.sale import ms
from flashsale.rules.states import ReservationState

COLUMNS = (
    "serial",
    "sku",
    "step",
    "sale",
    "line",
    "reservation",
    "channel",
    "number",
    "state",
    "cancelled_ms",
    "reason",
    "case_score",
    "moved_to",
    "appeal",
)


def unit_history(campaign: int) -> list[dict[str, Any]]:
    """One row for each step of each unit of a campaign: a reservation, or at the end the line where it is now."""
    ended = Cancellation.objects.filter(reservation__sale__campaign_id=campaign).select_related("case__appeal")
    cancelled = {c.reservation_id: c for c in ended}
    cases = dict(Case.objects.filter(reservation__sale__campaign_id=campaign).values_list("reservation_id", "score"))
    moves = {
        (move.unit_id, move.cancellation_id): f"{move.target.sale.code}/{move.target.code}"
        for move in Move.objects.filter(plan__source__campaign_id=campaign).select_related("target__sale")
    }
    held: dict[int, list[ReservationUnit]] = {}
    reservation_units = ReservationUnit.objects.filter(unit__campaign_id=campaign)
    for holding in reservation_units.select_related("reservation__allocation__sale", "reservation__channel"):
        held.setdefault(holding.unit_id, []).append(holding)
    rows: list[dict[str, Any]] = []
    for unit in Unit.objects.filter(campaign_id=campaign).select_related("allocation__sale").order_by("pk"):
        steps = sorted(held.get(unit.pk, []), key=lambda holding: holding.reservation.made_at)
        for step, holding in enumerate(steps, start=1):
            end = cancelled.get(holding.reservation_id)
            rows.append(_step(unit=unit, step=step, holding=holding, cancellation=end, cases=cases, moves=moves))
        if not any(holding.active for holding in steps):
            rows.append(_resting(unit, len(steps) + 1))
    return rows


def _step(
    *,
    unit: Unit,
    step: int,
    holding: ReservationUnit,
    cancellation: Cancellation | None,
    cases: dict[Any, float],
    moves: dict[tuple[int, int | None], str],
) -> dict[str, Any]:
    reservation = holding.reservation
    appeal = getattr(cancellation.case, "appeal", None) if cancellation else None
    # A restored order has no cancellation time here, because its limit stayed used all the time.
    stands = reservation.state == ReservationState.CONFIRMED
    return {
        "serial": unit.serial,
        "sku": unit.sku,
        "step": step,
        "sale": reservation.allocation.sale.code,
        "line": reservation.allocation.code,
        "reservation": str(reservation.pk),
        "channel": reservation.channel.code,
        "number": reservation.number,
        "state": str(reservation.state),
        "cancelled_ms": ms(cancellation.at) if cancellation and not stands else "",
        "reason": cancellation.reason if cancellation else "",
        "case_score": cases.get(reservation.pk, ""),
        "moved_to": moves.get((unit.pk, cancellation.pk), "") if cancellation else "",
        "appeal": str(appeal.remedy or appeal.state) if appeal else "",
    }


def _resting(unit: Unit, step: int) -> dict[str, Any]:
    where = {"sale": unit.allocation.sale.code, "line": unit.allocation.code, "state": str(unit.state)}
    return {**dict.fromkeys(COLUMNS, ""), "serial": unit.serial, "sku": unit.sku, "step": step, **where}


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """Writes the rows as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def sold(rows: list[dict[str, Any]], sale: str) -> Iterator[str]:
    """The reservations of a sale that are confirmed now."""
    return (row["reservation"] for row in rows if row["sale"] == sale and row["state"] == "confirmed")
