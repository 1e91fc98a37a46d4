"""Audit of what happens after a sale: cancellations with due process, and units that move."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Count, Exists, F, OuterRef, Q
from django.utils import timezone

from flashsale.life.audit_scope import Scope
from flashsale.models import Cancellation, Move, Notice, Record, ReservationUnit, Unit
from flashsale.rules.reasons import REASONS
from flashsale.rules.states import NoticeState, ReservationState, UnitState

# A letter about a cancellation is handed over within this time. Later it counts as missing.
TOLD_WITHIN = timedelta(hours=1)


def without_due_process(scope: Scope) -> Iterator[str]:
    """Promise 11.

    A cancellation whose reason needs a case was decided by two people, with a notice and a time to appeal. The buyer
    was told: the letter has not failed, and it was handed over within TOLD_WITHIN.
    """
    reasons = [code for code, reason in REASONS.items() if reason.needs_case]
    rows = Cancellation.objects.filter(reservation__sale__in=scope.sales, reason__in=reasons)
    cancelled = Q(reservation__notices__kind=Notice.Kind.CANCELLED)
    for row in rows.select_related("case").annotate(notices=Count("reservation__notices", filter=cancelled)):
        people = {row.case.proposed_by_id, row.case.decided_by_id} - {None} if row.case else set()
        required = {
            "two people": len(people) == 2,
            "a notice": row.notices == 1,
            "a way to appeal": row.case,
        }
        missing = [name for name, present in required.items() if not present]
        if missing:
            yield f"reservation {row.reservation_id} was cancelled without {' and '.join(missing)}"
    yield from _untold(scope)


def _untold(scope: Scope) -> Iterator[str]:
    """Letters about cancellations by a case that did not reach the mail server, unless the buyer has acted already."""
    letters = Notice.objects.filter(kind=Notice.Kind.CANCELLED, reservation__sale__in=scope.sales)
    letters = letters.filter(
        reservation__cancellation__case__isnull=False, reservation__cancellation__case__appeal=None
    )
    letters = letters.filter(reservation__restriction=None)  # a buyer who wants no letters; the time to appeal waits
    late = Q(state=NoticeState.DUE, reservation__cancellation__at__lte=timezone.now() - TOLD_WITHIN)
    for letter in letters.filter(late | Q(state=NoticeState.FAILED)):
        order = f"reservation:{letter.reservation_id}"
        if not Record.objects.filter(what="waive", subject=order).exists():
            why = f"{letter.failure or 'no attempt yet'}, {letter.attempts} attempts"
            yield f"the buyer of reservation {letter.reservation_id} was not told of the cancellation ({why})"


def moved_wrongly(scope: Scope) -> Iterator[str]:
    """Promise 10.

    Each move names the cancellation that freed its unit, and each unit is where its last move took it.
    """
    campaign = scope.campaign
    moves = Move.objects.filter(scope.units("unit"), unit__campaign=campaign)
    freed = ReservationUnit.objects.filter(unit=OuterRef("unit"), reservation__cancellation=OuterRef("cancellation"))
    for move in moves.exclude(cancellation=None).exclude(Exists(freed)).select_related("unit"):
        yield f"unit {move.unit} moved for cancellation {move.cancellation_id}, which did not free it"
    later = Move.objects.filter(unit=OuterRef("unit"), pk__gt=OuterRef("pk"))
    for move in moves.exclude(target=F("unit__allocation")).exclude(Exists(later)).select_related("unit"):
        yield f"unit {move.unit} is not where it was moved to"
    returned = Unit.objects.filter(scope.units(), campaign=campaign, state=UnitState.RETURNED)
    for unit in returned.exclude(reservation_units__reservation__state=ReservationState.CANCELLED):
        yield f"unit {unit} is returned without a cancellation"
