"""What the books know of a sale and its campaign, in the shape in which the gate is filled with it.

Read while the sale's row is locked, so that nothing is committed and nothing ends between the queries; in columns and
not through objects, for a large sale is to be back within a minute.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from flashsale.gate import load
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.models import Allocation, CrowdBackup, LimitSlot, Reservation, ReservationUnit, Sale, Unit, UnpaidHold
from flashsale.rules import lottery
from flashsale.rules.states import AllocationMode, ReservationState, UnitState

FETCHED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class _Row:
    """A reservation's columns, as they are read."""

    id: Any
    allocation_id: int
    channel_id: int
    asked: str
    fingerprint: str
    index: int
    number: int
    quantity: int
    state: str
    made_at: Any
    deadline_ms: int


def counts_of(campaign: int, card: SaleCard) -> load.Counts:
    """What counts against the campaign's limits, on the axes that the gate counts."""
    return load.Counts(
        used=_counted(LimitSlot.objects.filter(scope=LimitSlot.campaign_scope(campaign)), card),
        unpaid=_counted(UnpaidHold.objects.filter(campaign=campaign), card),
    )


def _counted(rows: QuerySet[Any], card: SaleCard) -> dict[str, int]:
    """Rows by digest, on the axes that the gate counts: those proven at the door."""
    axes = [axis.value for axis in card.hard_at_enter]
    digests = rows.filter(axis__in=axes).values_list("digest", flat=True)
    return dict(Counter(digests.iterator(FETCHED_AT_ONCE)))


def sale_of(sale: Sale, card: SaleCard) -> load.SaleLoad:
    """Everything of a sale that grows with its stock."""
    rows = _reservations(sale)
    limit_slots = _claims(sale)
    # What uses up a limit: held, confirmed, and cancelled by review while an appeal is possible.
    counted = [row for row in rows if row.id in limit_slots]
    units, free = _units(sale, card)
    return load.SaleLoad(
        card=card, fresh=sale.epoch == 1, revision=sale.revision, state=sale.state, units=units, free=free,
        paused_ms=sale.paused_ms, lease=sale.lease, frozen=sale.frozen_at is not None,
        lines=[_line_of(line, rows, counted) for line in sale.allocations.all()],
        asked=_asked(sale, card, rows, limit_slots), holds={str(row.id): row.asked for row in counted},
        due={str(row.id): row.deadline_ms for row in counted if row.state == ReservationState.HELD},
        used_sale=_counted(LimitSlot.objects.filter(scope=LimitSlot.sale_scope(sale.pk)), card),
    )  # fmt: skip


def _reservations(sale: Sale) -> list[_Row]:
    kept = Reservation.objects.filter(sale=sale).exclude(state=ReservationState.ABANDONED)
    return [_Row(*row) for row in kept.values_list(*_Row.__slots__).iterator(FETCHED_AT_ONCE)]


def _claims(sale: Sale) -> dict[Any, list[tuple[str, str]]]:
    """Axis and digest of the slots that each reservation takes, once each."""
    scope = LimitSlot.campaign_scope(sale.campaign_id)
    found: dict[Any, set[tuple[str, str]]] = defaultdict(set)
    slots = LimitSlot.objects.filter(reservation__sale=sale, scope=scope).values_list(
        "reservation_id", "axis", "digest"
    )
    for reservation, axis, digest in slots.iterator(FETCHED_AT_ONCE):
        found[reservation].add((axis, digest))
    return {reservation: sorted(limit_slots) for reservation, limit_slots in found.items()}


def _units(sale: Sale, card: SaleCard) -> tuple[dict[str, int], dict[tuple[int, str], dict[str, int]]]:
    """Versions of all units, and of the free ones by line and SKU."""
    numbers = {line.id: line.line_id for line in card.lines}
    versions: dict[str, int] = {}
    free: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
    rows = Unit.objects.filter(allocation__sale=sale).values_list("id", "version", "state", "allocation_id", "sku")
    for id_, version, state, allocation, sku in rows.iterator(FETCHED_AT_ONCE):
        versions[str(id_)] = version
        if state == UnitState.FREE:
            free[numbers[allocation], sku][str(id_)] = version
    return versions, dict(free)


def _asked(
    sale: Sale, card: SaleCard, rows: Sequence[_Row], limit_slots: Mapping[Any, list[tuple[str, str]]]
) -> dict[str, dict[str, Any]]:
    """What was taken for each request key, as reserve.lua keeps it: enough to answer the request again."""
    lines = {line.id: line for line in card.lines}
    held: dict[Any, list[tuple[int, int, str]]] = defaultdict(list)
    reservation_units = ReservationUnit.objects.filter(reservation__sale=sale).order_by("pk")
    columns = reservation_units.values_list("reservation_id", "unit_id", "unit__version", "sku")
    for reservation, unit, version, sku in columns.iterator(FETCHED_AT_ONCE):
        held[reservation].append((unit, version, sku))
    proven = {axis.value for axis in card.hard_at_enter}
    return {
        row.asked: _taken(row, lines[row.allocation_id], held[row.id], limit_slots.get(row.id, []), proven)
        for row in rows
    }


def _taken(
    row: _Row, line: LineCard, held: list[tuple[int, int, str]], limit_slots: list[tuple[str, str]], proven: set[str]
) -> dict[str, Any]:
    ask = {
        "id": str(row.id), "key": row.asked, "print": row.fingerprint, "index": row.index, "number": row.number,
        "quantity": row.quantity, "channel": row.channel_id, "line": line.line_id, "limit_slots": limit_slots,
        "digests": sorted({digest for axis, digest in limit_slots if axis in proven}),
    }  # fmt: skip
    # An order that was restored has other units than those it began with (Reservation.items).
    units = [[unit, version - 1, line.skus.index(sku)] for unit, version, sku in held[-row.quantity :]]
    return {"ask": ask, "units": units, "made": int(row.made_at.timestamp() * 1000), "deadline": row.deadline_ms}


def _line_of(line: Allocation, rows: Sequence[_Row], counted: Sequence[_Row]) -> load.LineLoad:
    mine = [row for row in rows if row.allocation_id == line.pk]
    by_state: Counter[str] = Counter()
    for row in counted:
        if row.allocation_id == line.pk:
            by_state[row.state] += row.quantity
    # Whoever reserved had been called, even if the books were never told how far.
    called = max([line.called, *(row.number for row in mine)])
    # A cohort is written at the draw, which may be before `entered` is: all of it was given.
    entered = max([line.entered, line.cohort or 0, *(row.index for row in mine)])
    known = CrowdBackup.objects.filter(allocation=line).first()
    crowd = Crowd(bytes(known.out), bytes(known.seen)) if known else Crowd()
    seed = bytes.fromhex(line.seed)
    return load.LineLoad(
        line_id=line.line_id, block=line.block, cohort=line.cohort, seed=line.seed, called=called,
        held=by_state.pop(ReservationState.HELD, 0), sold=by_state.total(), spent=[row.number for row in mine],
        entered=entered, listed=list(line.list_entries.values_list("digest", flat=True)),
        direct=line.mode == AllocationMode.DIRECT, carried=line.block if line.carries_id else 0, lapsed=line.lapsed,
        crowd=crowd, absent=[lottery.number(index, line.cohort or 0, seed) for index in crowd.absent() if seed],
    )  # fmt: skip
