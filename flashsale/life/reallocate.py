"""Reallocate: units of cancelled orders leave the return pool for a follow-up sale, once, by a plan that is kept."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.gate import bridge
from flashsale.life.rebuild import card_of, mend
from flashsale.models import Allocation, Cancellation, Holding, Move, Notice, Reallocation, Record, Sale, Unit
from flashsale.models.sale import ms
from flashsale.models.writer import advance_units, lock_sale
from flashsale.rules.reasons import REASONS
from flashsale.rules.states import Phase, SaleState, UnitState


def reallocate(*, source: Sale, target: Allocation, reserve: int | None, by: Any = None) -> Reallocation:
    """Moves the returned units of `source` into a line of a follow-up sale and invites those who were wronged.

    Units whose buyers may still appeal stay, all of them, or as many as the published `reserve` says. Safe to repeat:
    a unit moves once per cancellation; what has become final since moves with the next call.
    Raises ValidationError in words when the target cannot take the units.

    1. The books move the units and write down each way. If we die after this, the doors find the free units (mend).
    2. The gate offers them.
    """
    with transaction.atomic():
        lock_sale(target.sale_id, exclusive=True)
        sale = Sale.objects.select_related("campaign").get(pk=target.sale_id)
        _refuse_target(source, sale, timezone.now())
        plan, fresh = Reallocation.objects.get_or_create(
            source=source, target=target, defaults={"reserve": reserve, "made_by": by}
        )
        if not fresh and plan.reserve != reserve:
            raise ValidationError(
                _("This plan is published with another reserve for appeals; it can no longer change.")
            )
        moved = _move(plan, _movable(source, reserve, timezone.now()))
        _invite(plan, timezone.now())
        if fresh or moved:
            facts = {"line": target.code, "to": sale.pk, "reserve": reserve, "units": moved}
            Record.write("reallocate", by=by, sale=source, subject=plan, facts=facts)
    if sale.state != SaleState.DRAFT:
        bridge.run(mend(card=card_of(sale)))
    return plan


def _refuse_target(source: Sale, sale: Sale, now: datetime) -> None:
    if sale.pk == source.pk:
        raise ValidationError(_("A sale cannot be its own follow-up sale."))
    if sale.campaign_id != source.campaign_id:
        raise ValidationError(_("The follow-up sale must belong to the same campaign."))
    if sale.phase(ms(now)) in {Phase.CLOSED, Phase.CALLED_OFF}:
        raise ValidationError(_("The follow-up sale is over."))


def _movable(source: Sale, reserve: int | None, now: datetime) -> list[Cancellation]:
    """Cancellations whose units may leave the pool, the oldest first."""
    resting = Cancellation.objects.filter(
        reservation__sale=source, reservation__holdings__unit__state=UnitState.RETURNED
    ).distinct()  # fmt: skip
    final: list[Cancellation] = []
    contested: list[Cancellation] = []
    for cancellation in resting.order_by("at", "pk"):
        is_final = cancellation.appealed_at is None and (
            cancellation.appeal_until is None or cancellation.appeal_until < now
        )
        (final if is_final else contested).append(cancellation)
    return final if reserve is None else final + contested[: max(0, len(contested) - reserve)]


def _move(plan: Reallocation, cancellations: list[Cancellation]) -> int:
    """How many units the plan has moved now."""
    sold_there = set(plan.target.stock.values_list("offer__sku", flat=True))
    already = set(Move.objects.filter(cancellation__in=cancellations).values_list("unit_id", "cancellation_id"))
    by_reservation = {cancellation.reservation_id: cancellation for cancellation in cancellations}
    holdings = Holding.objects.filter(reservation__in=by_reservation).values_list("unit_id", "reservation_id")
    way = {unit: by_reservation[reservation] for unit, reservation in holdings}
    units = [
        unit
        for unit in Unit.objects.select_for_update().filter(pk__in=way, state=UnitState.RETURNED).order_by("pk")
        if (unit.pk, way[unit.pk].pk) not in already
    ]
    unsold = sorted({unit.sku for unit in units} - sold_there)
    if unsold:
        raise ValidationError(_("The follow-up sale's line does not sell %(skus)s.") % {"skus": ", ".join(unsold)})
    Move.objects.bulk_create(
        Move(plan=plan, unit=unit, cancellation=way[unit.pk], origin_id=unit.allocation_id, target=plan.target)
        for unit in units
    )
    advance_units([(unit.pk, unit.version) for unit in units], was=UnitState.RETURNED, becomes=UnitState.FREE)
    Unit.objects.filter(pk__in=[unit.pk for unit in units]).update(allocation=plan.target)
    return len(units)


def _invite(plan: Reallocation, now: datetime) -> None:
    """Those cancelled under a reason marked `invite` get a link to the follow-up sale, once."""
    inviting = [code for code, reason in REASONS.items() if reason.invite]
    wronged = Cancellation.objects.filter(reservation__sale=plan.source, reason__in=inviting)
    Notice.objects.bulk_create(
        (
            Notice(reservation_id=id_, kind=Notice.Kind.INVITED, sale=plan.target.sale, due_at=now)
            for id_ in wronged.values_list("reservation_id", flat=True)
        ),
        ignore_conflicts=True,
    )
