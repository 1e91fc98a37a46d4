"""Reallocate: a published plan moves units of cancelled orders, once, from the return pool to a follow-up sale.

A plan names the source sale, the target line, how many units, when, and how many units stay for appeals. The lines of
the follow-up sale are its tranches: a list for wronged buyers, lines that carry over an old order, the public. Units
that one line does not sell roll over to the next.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from flashsale.books.events import NewEvent, record
from flashsale.books.reservations import advance_units, lock_sale
from flashsale.gate import bridge
from flashsale.life.mend import mend
from flashsale.life.sale_card import card_of
from flashsale.models import (
    Allocation,
    Cancellation,
    ListEntry,
    Move,
    Notice,
    Reallocation,
    Record,
    Reservation,
    ReservationUnit,
    Sale,
    Trait,
    Unit,
)
from flashsale.rules import wall_clock
from flashsale.rules.events import EventType
from flashsale.rules.reasons import REASONS
from flashsale.rules.states import AppealState, Remedy, SaleState, UnitState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The result of carrying out a plan now: how many units move, how many stay, how many buyers are invited."""

    moves: int
    stays: int
    invited: int


@dataclass(frozen=True, slots=True)
class PoolUnit:
    """A unit in the return pool and the cancellation that freed it.

    `appeal_weight`: 0 no appeal is possible any more, 1 an appeal is still possible, 2 an appeal is open.
    """

    unit: Unit
    cancellation: Cancellation
    appeal_weight: int


def plan(
    *,
    source: Sale,
    target: Allocation,
    reserve: int | None,
    units: int | None = None,
    due_at: datetime | None = None,
    by: Any = None,
) -> Reallocation:
    """Publishes a plan. A repeat changes nothing. Celery carries it out when it is due.

    Raises ValidationError when the target cannot take the units, or when this plan is published with other numbers.
    """
    with transaction.atomic():
        lock_sale(target.sale_id, exclusive=True)
        row, fresh = _plan(source, target, reserve, {"units": units, "due_at": due_at, "made_by": by})
        if fresh:
            _note("plan", row, by, due=str(due_at or ""))
    return row


def reallocate(
    *, source: Sale, target: Allocation, reserve: int | None, units: int | None = None, by: Any = None
) -> Reallocation:
    """Publishes a plan and carries it out at once. At most `units` units move by this plan.

    Units whose buyers may still appeal stay in the pool: all of them, or as many as the published `reserve`.
    Safe to repeat: a unit moves once for each cancellation. The next call moves the units whose cancellations have
    become final since.

    1. PostgreSQL moves the units and writes a Move for each. If the process dies after this step, the web processes
       send the units to Redis (`mend`).
    2. Redis offers the units, and gets the line's list.
    """
    with transaction.atomic():
        lock_sale(target.sale_id, exclusive=True)
        row, fresh = _plan(source, target, reserve, {"units": units, "made_by": by})
        moved, invited = _act(row, wall_clock.now())
        if fresh or moved or invited:
            _note("reallocate", row, by, units=moved, invited=invited)
    _tell_gate(row)
    return row


def carry_out(*, plan: Reallocation) -> Reallocation:
    """Carries out a published plan, as :func:`reallocate` does. Safe to repeat."""
    with transaction.atomic():
        lock_sale(plan.target.sale_id, exclusive=True)
        _refuse_target(plan.source, plan.target.sale, wall_clock.now())
        moved, invited = _act(plan, wall_clock.now())
        if moved or invited:
            _note("reallocate", plan, "clock", units=moved, invited=invited)
    _tell_gate(plan)
    return plan


def forecast(*, source: Sale, target: Allocation, reserve: int | None, units: int | None = None) -> Forecast:
    """A dry run: does the same in a transaction and rolls it back. Raises ValidationError as `plan` does."""
    with transaction.atomic():
        lock_sale(target.sale_id, exclusive=True)
        row, _fresh = _plan(source, target, reserve, {"units": units})
        moves, invited = _act(row, wall_clock.now())
        stays = Unit.objects.filter(allocation__sale=source, state=UnitState.RETURNED).count()
        transaction.set_rollback(True)
    return Forecast(moves, stays, invited)


def carry_out_due() -> int:
    """Carries out the plans that are due; returns how many. Safe to repeat and to run in parallel."""
    due = Reallocation.objects.filter(due_at__lte=wall_clock.now(), carried_out_at=None)
    plans = due.select_related("source", "target__sale__campaign", "target__sale__clock").order_by("pk")
    done = 0
    for row in [row for row in plans if not row.target.sale.is_over(wall_clock.now())]:
        try:
            carry_out(plan=row)
            done += 1
        except ValidationError as error:
            log.warning("a plan cannot be carried out", plan=str(row), why="; ".join(error.messages))
    return done


def invite_priority_buyers(*, source: Sale) -> None:
    """Invites buyers who have priority for a unit of the next sale, if a plan with a list for them exists already."""
    listed = Reallocation.objects.filter(source=source, target__listed_only=True).select_related(
        "target__sale__campaign", "target__sale__clock"
    )
    for row in [row for row in listed.order_by("pk") if not row.target.sale.is_over(wall_clock.now())]:
        with transaction.atomic():
            lock_sale(row.target.sale_id, exclusive=True)
            invited = _invite(row, wall_clock.now())
            if invited:
                _note("invite", row, "clock", invited=invited)
        _tell_gate(row)


def _plan(source: Sale, target: Allocation, reserve: int | None, fields: dict[str, Any]) -> tuple[Reallocation, bool]:
    _refuse_target(source, Sale.objects.select_related("campaign").get(pk=target.sale_id), wall_clock.now())
    before = Reallocation.objects.filter(source=source, target__sale=target.sale_id)
    if any(known.reserve != reserve for known in before):
        raise ValidationError(_("This plan is published with another reserve for appeals; it can no longer change."))
    row, fresh = Reallocation.objects.get_or_create(
        source=source, target=target, defaults={"reserve": reserve, **fields}
    )
    if not fresh and row.units != fields["units"]:
        raise ValidationError(_("This plan is published with another number of units; it can no longer change."))
    return row, fresh


def _note(verb: str, row: Reallocation, by: Any, **facts: Any) -> None:
    details = {"line": row.target.code, "to": row.target.sale_id, "reserve": row.reserve, "most": row.units, **facts}
    Record.write(verb, by=by, sale=row.source, subject=row, facts=details)


def _refuse_target(source: Sale, sale: Sale, now: datetime) -> None:
    if sale.pk == source.pk:
        raise ValidationError(_("A sale cannot be its own follow-up sale."))
    if sale.campaign_id != source.campaign_id:
        raise ValidationError(_("The follow-up sale must belong to the same campaign."))
    if sale.is_over(now):
        raise ValidationError(_("The follow-up sale is over."))


def _act(row: Reallocation, now: datetime) -> tuple[int, int]:
    """How many units moved, and how many buyers were invited."""
    moved = _move(row, _movable(row, now), now)
    if row.carried_out_at is None:
        row.carried_out_at = now
        row.save(update_fields=["carried_out_at"])
    return moved, _invite(row, now)


def _movable(row: Reallocation, now: datetime) -> list[PoolUnit]:
    """The units that may leave the pool by this plan now: final cancellations first, the oldest of them first."""
    pool = sorted(_pool(row.source, now), key=lambda one: (one.appeal_weight, one.cancellation.at, one.unit.pk))
    if row.reserve is None:
        free = [one for one in pool if not one.appeal_weight]
    else:
        kept = {one.unit.pk for one in _kept(pool, min(row.reserve, _appealable_units(row.source, now)))}
        free = [one for one in pool if one.unit.pk not in kept]
    return free if row.units is None else free[: max(0, row.units - row.moves.count())]


def _kept(pool: list[PoolUnit], count: int) -> list[PoolUnit]:
    """`count` units that stay for appeals: open appeals before possible ones, and the SKUs in turn."""
    nth: Counter[str] = Counter()
    turns = []
    for one in reversed(pool):
        nth[one.unit.sku] += 1
        turns.append((-one.appeal_weight, nth[one.unit.sku], one))
    return [one for _weight, _turn, one in sorted(turns, key=lambda turn: turn[:2])[:count]]


def _appealable(now: datetime) -> Q:
    """Cancellations with an open appeal, or with time left for one."""
    possible = Cancellation.time_to_appeal(now) & Q(case__appeal=None)
    return Q(case__appeal__state=AppealState.OPEN) | possible


def _appealable_units(source: Sale, now: datetime) -> int:
    appealable = Cancellation.objects.filter(_appealable(now), reservation__sale=source)
    return sum(appealable.values_list("reservation__quantity", flat=True))


def _pool(source: Sale, now: datetime) -> list[PoolUnit]:
    """The returned units of a sale. Locks their orders, so that no appeal comes before the transaction ends."""
    returned = Unit.objects.filter(allocation__sale=source, state=UnitState.RETURNED)
    freed = dict(
        ReservationUnit.objects.filter(unit__in=returned).order_by("pk").values_list("unit_id", "reservation_id")
    )
    list(Reservation.objects.select_for_update().filter(pk__in=freed.values()).order_by("pk").values_list("pk"))
    rows = Cancellation.objects.filter(reservation__in=freed.values()).select_related("case__appeal")
    cancelled = {row.reservation_id: row for row in rows}
    appealable = set(rows.filter(_appealable(now)).values_list("pk", flat=True))
    units = returned.select_for_update().order_by("pk")
    found = [(unit, cancelled[freed[unit.pk]]) for unit in units if freed.get(unit.pk) in cancelled]
    return [PoolUnit(unit, row, _appeal_weight(row) if row.pk in appealable else 0) for unit, row in found]


def _appeal_weight(row: Cancellation) -> int:
    """2 for an appeal that has come, 1 for one that may still come."""
    return 2 if row.case and hasattr(row.case, "appeal") else 1


def _move(row: Reallocation, pool_units: list[PoolUnit], now: datetime) -> int:
    sold_there = set(row.target.stock.values_list("offer__sku", flat=True))
    unsold = sorted({one.unit.sku for one in pool_units} - sold_there)
    if unsold:
        raise ValidationError(_("The follow-up sale's line does not sell %(skus)s.") % {"skus": ", ".join(unsold)})
    Move.objects.bulk_create(
        Move(
            plan=row, unit=one.unit, cancellation=one.cancellation, origin_id=one.unit.allocation_id, target=row.target
        )
        for one in pool_units
    )
    advance_units(
        [(one.unit.pk, one.unit.version) for one in pool_units], was=UnitState.RETURNED, becomes=UnitState.FREE
    )
    Unit.objects.filter(pk__in=[one.unit.pk for one in pool_units]).update(allocation=row.target)
    record([_reallocated(row, one.unit) for one in pool_units], now)
    return len(pool_units)


def _reallocated(row: Reallocation, unit: Unit) -> NewEvent:
    """The event of a unit that a plan has moved. Its version is one higher than when it was read."""
    data = {"serial": unit.serial, "sku": unit.sku, "from": row.source.code}
    return NewEvent(
        EventType.UNIT_REALLOCATED, row.target.sale_id, line=row.target_id, unit=unit.pk, sequence=unit.version + 1,
        data=data,
    )  # fmt: skip


def _invite(row: Reallocation, now: datetime) -> int:
    """Invites the buyers who lost an order without fault, once for each follow-up sale; returns how many.

    If the target line is only for people on its list, they are put on it.
    """
    sale = row.target.sale
    if not row.target.listed_only and sale.allocations.filter(listed_only=True).exists():
        return 0
    inviting = [code for code, reason in REASONS.items() if reason.invite]
    owed = Q(sale__campaign=sale.campaign_id, case__appeal__remedy=Remedy.PRIORITY)
    wronged = Reservation.objects.filter(Q(sale=row.source, cancellation__reason__in=inviting) | owed)
    # A buyer who was on the list of another sale already does not get a second unit.
    served = Notice.objects.filter(Q(sale=sale) | Q(line__listed_only=True), kind=Notice.Kind.INVITED)
    wronged = wronged.exclude(pk__in=served.values("reservation")).exclude(sale=sale).order_by("pk")
    fresh = list(wronged.values_list("pk", flat=True))
    Notice.objects.bulk_create(
        Notice(reservation_id=id_, kind=Notice.Kind.INVITED, sale=sale, line=row.target, due_at=now) for id_ in fresh
    )
    if row.target.listed_only:
        proven = sale.campaign.axes.filter(hard=True, checked_at="enter").values("axis")
        traits = Trait.objects.filter(reservation__in=fresh, axis__in=proven).values_list("axis", "digest")
        ListEntry.objects.bulk_create(
            (ListEntry(allocation=row.target, axis=axis, digest=digest) for axis, digest in traits),
            ignore_conflicts=True,
        )
    return len(fresh)


def _tell_gate(row: Reallocation) -> None:
    if row.target.sale.state != SaleState.DRAFT:
        bridge.run(mend(card=card_of(row.target.sale)))
