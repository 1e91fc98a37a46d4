"""The history of a unit: sale → reservation → case → cancellation → follow-up sale → new owner. No personal data."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from flashsale.admin.labels import state_label
from flashsale.models import Appeal, Cancellation, Case, Move, Reservation, ReservationUnit, Unit
from flashsale.rules.reasons import cancel_reason
from flashsale.rules.states import ReservationState


@dataclass(frozen=True, slots=True)
class UnitEvent:
    """One thing that happened to a unit. `link` leads to the page of the reservation, case, appeal or plan."""

    at: datetime | None
    what: str
    where: str
    link: str = ""


def unit_history(unit: Unit, language: str) -> list[UnitEvent]:
    """All events of a unit in the order in which they happened.

    The order comes from the reservations, which follow one another, and not from the times: reservations are timed on
    the line's clock, which stops in a pause. A move follows the reservation that it took the unit from. A move without
    a reservation comes before the first reservation in its target line.
    """
    moves = list(unit.moves.select_related("origin__sale", "target__sale", "cancellation").order_by("pk"))
    line = moves[0].origin if moves else unit.allocation
    events = [UnitEvent(line.sale.published_at, _("set aside"), f"{line.sale.name} – {line.code}")]
    links = unit.reservation_units.select_related(
        "reservation__sale",
        "reservation__allocation",
        "reservation__channel",
        "reservation__case",
        "reservation__cancellation__case__appeal",
    )
    for link in links.order_by("pk"):
        order = link.reservation
        while moves and line.pk != order.allocation_id:
            line = moves[0].target
            events.append(_move_event(moves.pop(0)))
        events += _reservation_events(link, language)
        while moves and moves[0].cancellation and moves[0].cancellation.reservation_id == order.pk:
            line = moves[0].target
            events.append(_move_event(moves.pop(0)))
    return [*events, *map(_move_event, moves)]


def _reservation_events(link: ReservationUnit, language: str) -> Iterator[UnitEvent]:
    order = link.reservation
    where = f"{order.sale.name} – {order.allocation.code}, {order.channel.name}"
    page = reverse("admin:flashsale_reservation_change", args=[order.pk])
    yield UnitEvent(order.made_at, _("reserved"), where, page)
    if order.confirmed_at:
        yield UnitEvent(order.confirmed_at, _("confirmed"), where, page)
    yield from _case_events(order)
    cancellation = getattr(order, "cancellation", None)
    if cancellation:
        yield from _cancellation_events(cancellation, language)
    elif order.state in {ReservationState.EXPIRED, ReservationState.RELEASED}:
        yield UnitEvent(order.ended_at, state_label(order.state), where, page)


def _case_events(order: Reservation) -> Iterator[UnitEvent]:
    case: Case | None = getattr(order, "case", None)
    if case is None:
        return
    page = reverse("admin:flashsale_case_change", args=[case.pk])
    score = _("score %(score)d") % {"score": case.score}
    yield UnitEvent(case.opened_at, _("case opened"), score, page)
    if case.decided_at:
        yield UnitEvent(case.decided_at, _("case decided"), state_label(case.state), page)


def _cancellation_events(cancellation: Cancellation, language: str) -> Iterator[UnitEvent]:
    title = cancel_reason(cancellation.reason).title.in_language(language)
    yield UnitEvent(cancellation.at, _("cancelled"), title)
    appeal: Appeal | None = getattr(cancellation.case, "appeal", None)
    if appeal is None:
        return
    page = reverse("admin:flashsale_appeal_change", args=[appeal.pk])
    yield UnitEvent(appeal.received_at, _("appeal received"), "", page)
    if appeal.decided_at:
        yield UnitEvent(appeal.decided_at, _("appeal decided"), state_label(appeal.remedy or appeal.state), page)


def _move_event(move: Move) -> UnitEvent:
    where = f"{move.target.sale.name} – {move.target.code}"
    if move.plan_id is None:
        rolled_over = move.origin.successor_id == move.target_id
        return UnitEvent(move.at, _("rolled over, unclaimed") if rolled_over else _("given to a restored order"), where)
    page = reverse("admin:flashsale_reallocation_change", args=[move.plan_id])
    return UnitEvent(move.at, _("moved to a follow-up sale"), where, page)
