"""A unit's way: sale → reservation → case → cancellation → follow-up sale → new owner, without personal data."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _

from flashsale.admin import words
from flashsale.models import Appeal, Cancellation, Case, Move, Reservation, ReservationUnit, Unit
from flashsale.rules.reasons import cancel_reason
from flashsale.rules.states import ReservationState


@dataclass(frozen=True, slots=True)
class Station:
    """One thing that happened to a unit; `at` is shown in the campaign's zone."""

    at: datetime | None
    what: str
    where: str
    link: str = ""


def way(unit: Unit, language: str) -> list[Station]:
    """All stations in the order in which they happened.

    One reservation after the other had the unit, so their order and not the clock's tells the way: reservations are
    timed on the line's clock, which stands still in a pause. A move follows the reservation whose end it followed, or
    comes before the first one in another line.
    """
    moves = list(unit.moves.select_related("origin__sale", "target__sale", "cancellation").order_by("pk"))
    at_line = moves[0].origin if moves else unit.allocation
    stations = [Station(at_line.sale.published_at, _("set aside"), f"{at_line.sale.name} – {at_line.code}")]
    held = unit.reservation_units.select_related(
        "reservation__sale", "reservation__allocation", "reservation__channel", "reservation__case",
        "reservation__cancellation__case__appeal",
    )  # fmt: skip
    for holding in held.order_by("pk"):
        order = holding.reservation
        while moves and at_line.pk != order.allocation_id:
            at_line = moves[0].target
            stations.append(_moved(moves.pop(0)))
        stations += _owned(holding, language)
        while moves and moves[0].cancellation and moves[0].cancellation.reservation_id == order.pk:
            at_line = moves[0].target
            stations.append(_moved(moves.pop(0)))
    return [*stations, *map(_moved, moves)]


def _owned(holding: ReservationUnit, language: str) -> Iterator[Station]:
    order = holding.reservation
    where = f"{order.sale.name} – {order.allocation.code}, {order.channel.name}"
    link = reverse("admin:flashsale_reservation_change", args=[order.pk])
    yield Station(order.made_at, _("reserved"), where, link)
    if order.confirmed_at:
        yield Station(order.confirmed_at, _("confirmed"), where, link)
    yield from _reviewed(order)
    cancellation = getattr(order, "cancellation", None)
    if cancellation:
        yield from _cancelled(cancellation, language)
    elif order.state in {ReservationState.EXPIRED, ReservationState.RELEASED}:
        yield Station(order.ended_at, words.state(order.state), where, link)


def _reviewed(order: Reservation) -> Iterator[Station]:
    case: Case | None = getattr(order, "case", None)
    if case is None:
        return
    link = reverse("admin:flashsale_case_change", args=[case.pk])
    score = _("score %(score)d") % {"score": case.score}
    yield Station(case.opened_at, _("case opened"), score, link)
    if case.decided_at:
        yield Station(case.decided_at, _("case decided"), words.state(case.state), link)


def _cancelled(cancellation: Cancellation, language: str) -> Iterator[Station]:
    why = cancel_reason(cancellation.reason).title.in_language(language)
    yield Station(cancellation.at, _("cancelled"), why)
    appeal: Appeal | None = getattr(cancellation.case, "appeal", None)
    if appeal is None:
        return
    link = reverse("admin:flashsale_appeal_change", args=[appeal.pk])
    yield Station(appeal.received_at, _("appeal received"), "", link)
    if appeal.decided_at:
        yield Station(appeal.decided_at, _("appeal decided"), words.state(appeal.remedy or appeal.state), link)


def _moved(move: Move) -> Station:
    where = f"{move.target.sale.name} – {move.target.code}"
    if move.plan_id is None:
        rolled = move.origin.successor_id == move.target_id
        return Station(move.at, _("rolled over, unclaimed") if rolled else _("given to a restored order"), where)
    link = reverse("admin:flashsale_reallocation_change", args=[move.plan_id])
    return Station(move.at, _("moved to a follow-up sale"), where, link)
