"""Snapshot: reads what the books (PostgreSQL) know of a sale and its campaign, to fill the gate (Redis) with it.

The caller holds the lock of the sale's row, so nothing is committed and nothing ends between the queries. The queries
read columns and not model objects, because a large sale must be back within a minute.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from flashsale.gate import load
from flashsale.gate.held_request import HeldRequest, HeldUnit, ReserveRequest
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import SaleCard
from flashsale.life.held_request import items_of
from flashsale.models import Allocation, CrowdBackup, LimitSlot, Reservation, ReservationUnit, Sale, Unit, UnpaidHold
from flashsale.rules import lottery
from flashsale.rules.states import AllocationMode, ReservationState, UnitState

FETCHED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class _Row:
    """The columns that are read of a reservation."""

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


def counts_of(campaign: int, card: SaleCard, *, others_go_on: bool) -> load.Counts:
    """The counts for the campaign's limits, on the axes that the gate counts."""
    return load.Counts(
        used=_counted(LimitSlot.objects.filter(scope=LimitSlot.campaign_scope(campaign)), card),
        unpaid=_counted(UnpaidHold.objects.filter(campaign=campaign), card),
        others_go_on=others_go_on,
    )


def counts_of_sale(sale: Sale, card: SaleCard) -> load.Counts:
    """The part of the counts of a campaign's limits that comes from this sale."""
    scope = LimitSlot.campaign_scope(card.campaign)
    return load.Counts(
        used=_counted(LimitSlot.objects.filter(scope=scope, reservation__sale=sale), card),
        unpaid=_counted(UnpaidHold.objects.filter(reservation__sale=sale), card),
    )


def _counted(rows: QuerySet[Any], card: SaleCard) -> dict[str, int]:
    """Rows by digest, on the axes that the gate counts: the hard axes that are proven at entry."""
    axes = [axis.value for axis in card.hard_at_enter]
    digests = rows.filter(axis__in=axes).values_list("digest", flat=True)
    return dict(Counter(digests.iterator(FETCHED_AT_ONCE)))


def sales_of(sales: Sequence[Sale], cards: Sequence[SaleCard]) -> list[load.SaleLoad]:
    """Everything of these sales that grows with their stock."""
    used = set(Reservation.objects.filter(sale__in=sales).order_by().values_list("sale", flat=True).distinct())
    return [_sale_of(sale, card, is_used=sale.pk in used) for sale, card in zip(sales, cards, strict=True)]


def _sale_of(sale: Sale, card: SaleCard, *, is_used: bool) -> load.SaleLoad:
    # A sale that was never reserved from is the common case after a loss: many sales are scheduled, few run.
    rows = _reservations(sale) if is_used else []
    limit_slots = _limit_slots(sale) if is_used else {}
    # These use up a limit: held, confirmed, and cancelled by review while an appeal is possible.
    counted = [row for row in rows if row.id in limit_slots]
    units, free = _units(sale, card)
    return load.SaleLoad(
        card=card, fresh=sale.epoch == 1, revision=sale.revision, state=sale.state, units=units, free=free,
        paused_ms=sale.paused_ms, lease=sale.lease, frozen=sale.is_frozen_for_draw,
        lines=[_line_of(sale, line, rows, counted) for line in sale.allocations.all()],
        held_requests=_held_requests(sale, card, rows, limit_slots) if rows else {},
        holds={str(row.id): row.asked for row in counted},
        due={str(row.id): row.deadline_ms for row in counted if row.state == ReservationState.HELD},
        used_sale=_counted(LimitSlot.objects.filter(scope=LimitSlot.sale_scope(sale.pk)), card) if is_used else {},
    )  # fmt: skip


def _reservations(sale: Sale) -> list[_Row]:
    kept = Reservation.objects.filter(sale=sale).exclude(state=ReservationState.ABANDONED)
    return [_Row(*row) for row in kept.values_list(*_Row.__slots__).iterator(FETCHED_AT_ONCE)]


def _limit_slots(sale: Sale) -> dict[Any, list[tuple[str, str]]]:
    """Axis and digest of the limit slots of each reservation, each pair once."""
    scope = LimitSlot.campaign_scope(sale.campaign_id)
    found: dict[Any, set[tuple[str, str]]] = defaultdict(set)
    slots = LimitSlot.objects.filter(reservation__sale=sale, scope=scope).values_list(
        "reservation_id", "axis", "digest"
    )
    for reservation, axis, digest in slots.iterator(FETCHED_AT_ONCE):
        found[reservation].add((axis, digest))
    return {reservation: sorted(limit_slots) for reservation, limit_slots in found.items()}


def _units(sale: Sale, card: SaleCard) -> tuple[dict[str, int], dict[tuple[int, str], dict[str, int]]]:
    """Versions of all units, and of the free ones by (line id, SKU)."""
    line_ids = {line.id: line.line_id for line in card.lines}
    versions: dict[str, int] = {}
    free: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
    rows = Unit.objects.filter(allocation__sale=sale).values_list("id", "version", "state", "allocation_id", "sku")
    for id_, version, state, allocation, sku in rows.iterator(FETCHED_AT_ONCE):
        versions[str(id_)] = version
        if state == UnitState.FREE:
            free[line_ids[allocation], sku][str(id_)] = version
    return versions, dict(free)


def _held_requests(
    sale: Sale, card: SaleCard, rows: Sequence[_Row], limit_slots: Mapping[Any, list[tuple[str, str]]]
) -> dict[str, HeldRequest]:
    """What the gate would hold for each request key: enough to answer the same request again."""
    held: dict[Any, list[tuple[int, int, str]]] = defaultdict(list)
    reservation_units = ReservationUnit.objects.filter(reservation__sale=sale).order_by("pk")
    columns = reservation_units.values_list("reservation_id", "unit_id", "unit__version", "sku")
    for reservation, unit, version, sku in columns.iterator(FETCHED_AT_ONCE):
        held[reservation].append((unit, version, sku))
    proven = {axis.value for axis in card.hard_at_enter}
    return {
        row.asked: _held_request(card, row, held[row.id], tuple(limit_slots.get(row.id, ())), proven) for row in rows
    }


def _held_request(
    card: SaleCard,
    row: _Row,
    held: list[tuple[int, int, str]],
    limit_slots: tuple[tuple[str, str], ...],
    proven: set[str],
) -> HeldRequest:
    line = card.line_of_allocation(row.allocation_id)
    # The last units, because an order that was restored has other units than it began with (Reservation.items). A held
    # unit's version is one higher in the books than in the gate, because the books raise it when they hold the unit.
    units = tuple(HeldUnit(unit, version - 1, line.skus.index(sku)) for unit, version, sku in held[-row.quantity :])
    request = ReserveRequest(
        id=str(row.id), key=row.asked, fingerprint=row.fingerprint, index=row.index, number=row.number,
        items=items_of(units), quantity=row.quantity,
        digests=tuple(sorted({digest for axis, digest in limit_slots if axis in proven})), limit=card.limit,
        sale_limit=card.sale_limit, channel_id=row.channel_id, line_id=line.line_id, limit_slots=limit_slots,
    )  # fmt: skip
    return HeldRequest(request, units, int(row.made_at.timestamp() * 1000), row.deadline_ms)


def crowd_of(backup: CrowdBackup) -> Crowd:
    """The copy of a line's crowd. JSON has the ids of the channels as text."""
    entered = {int(channel): count for channel, count in backup.entered.items()}
    return Crowd(bytes(backup.out), bytes(backup.seen), entered)


def _entries_of(sale: Sale, line: Allocation) -> tuple[int, str, int] | None:
    """How many entries the line has committed to, their root, and the round of the beacon (0: none)."""
    if sale.entries_frozen_at is None:
        return None
    return line.entries.cohort, line.entries.root, sale.beacon_round or 0


def _line_of(sale: Sale, line: Allocation, rows: Sequence[_Row], counted: Sequence[_Row]) -> load.LineLoad:
    reserved = [row for row in rows if row.allocation_id == line.pk]
    by_state: Counter[str] = Counter()
    for row in counted:
        if row.allocation_id == line.pk:
            by_state[row.state] += row.quantity
    # A reserved number had been called, even if the books have an older mark.
    called = max([line.called, *(row.number for row in reserved)])
    # The draw writes the cohort, perhaps before `entered` is written. All indexes of a cohort were given.
    committed = _entries_of(sale, line)
    cohort = committed[0] if committed else line.cohort or 0
    entered = max([line.entered, cohort, *(row.index for row in reserved)])
    backup = CrowdBackup.objects.filter(allocation=line).first()
    crowd = crowd_of(backup) if backup else Crowd()
    seed = bytes.fromhex(line.seed)
    return load.LineLoad(
        line_id=line.line_id, block=line.block, cohort=line.cohort, seed=line.seed, called=called,
        held=by_state.pop(ReservationState.HELD, 0), sold=by_state.total(), spent=[row.number for row in reserved],
        entered=entered, listed=list(line.list_entries.values_list("digest", flat=True)),
        direct=line.mode == AllocationMode.DIRECT, carried=line.block if line.carries_id else 0, lapsed=line.lapsed,
        crowd=crowd, absent=[lottery.number(index, line.cohort or 0, seed) for index in crowd.absent() if seed],
        entries=committed,
    )  # fmt: skip
