"""Audit of events: the events of an object, one after the other, end in the state that the object has."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Any

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from flashsale.life.audit_scope import Scope
from flashsale.life.events import KEPT
from flashsale.models import Appeal, Case, Event, Move, PaymentAttempt, Refund, Reservation
from flashsale.rules.events import EventType, state_after, subject_of
from flashsale.rules.states import CaseState, ReservationState

MOVES_TOLD = "0031_bounces_and_fingerprints"
# A kind, and the id of the object: a sale, a reservation, the order of a case or appeal, a payment or refund.
Subject = tuple[str, Any]


def unlike_events(scope: Scope) -> Iterator[str]:
    """The objects whose events say something else than their rows.

    Events are kept for a month, so an object without one counts only if it has changed since.
    """
    told: dict[Subject, str] = {}
    yield from _replay(scope, told)
    since = timezone.now() - KEPT
    for subject, state, changed_at in _states(scope):
        last = told.pop(subject, None)
        if last != state and (last is not None or changed_at >= since):
            yield f"{' '.join(map(str, subject))} is {state}, its events say {last or 'nothing'}"
    yield from (f"{kind} {id_} has events and does not exist" for kind, id_ in told)
    yield from _untold_moves(scope, since)


def _replay(scope: Scope, told: dict[Subject, str]) -> Iterator[str]:
    """Fills `told` with the state after the last event of each object; yields the gaps in their sequences."""
    last: dict[Any, int] = {}
    of_sales = Event.objects.filter(sale__in=scope.sales, reservation=None, unit=None)
    rows = Event.objects.filter(scope.reservations("reservation"), sale__in=scope.sales, reservation__isnull=False)
    columns = ("type", "sale", "reservation", "sequence", "data")
    in_order = (some.order_by("pk").values_list(*columns).iterator(chunk_size=2000) for some in (of_sales, rows))
    for type_, sale, reservation, sequence, data in chain.from_iterable(in_order):
        owner = reservation or sale
        if sequence != last.get(owner, sequence - 1) + 1:
            yield f"event {sequence} of {owner} comes after {last[owner]}"
        last[owner] = sequence
        kind, reference = subject_of(type_, data)
        state = state_after(type_, data)
        if state is not None:
            told[kind, reference or owner] = state


def _states(scope: Scope) -> Iterator[tuple[Subject, str, datetime]]:
    """Each object with its state, and when it came into it (or a time before that, where no row says it)."""
    for sale in scope.sales:
        yield ("sale", sale.pk), sale.state, timezone.now()
    orders = Reservation.objects.filter(scope.reservations(), sale__in=scope.sales).exclude(
        state=ReservationState.ABANDONED
    )
    changed = Coalesce("ended_at", "confirmed_at", "made_at")
    for id_, state, at in orders.values_list("pk", "state", changed).iterator():
        yield ("reservation", id_), state, at
    attempts = PaymentAttempt.objects.filter(scope.reservations("reservation"), reservation__sale__in=scope.sales)
    for id_, state, at in attempts.values_list("reference", "state", Coalesce("settled_at", "made_at")).iterator():
        yield ("payment", id_), state, at
    refunds = Refund.objects.filter(
        scope.reservations("attempt__reservation"), attempt__reservation__sale__in=scope.sales
    )
    for id_, state, at in refunds.values_list("reference", "state", Coalesce("settled_at", "made_at")).iterator():
        yield ("refund", id_), state, at
    cases = Case.objects.filter(scope.reservations("reservation"), reservation__sale__in=scope.sales)
    for id_, state, at in cases.values_list("reservation", "state", Coalesce("decided_at", "opened_at")):
        yield ("case", id_), state if state in {CaseState.CANCELLED, CaseState.DISMISSED} else CaseState.OPEN, at
    appeals = Appeal.objects.filter(scope.reservations("case__reservation"), case__reservation__sale__in=scope.sales)
    for id_, state, at in appeals.values_list("case__reservation", "state", Coalesce("decided_at", "received_at")):
        yield ("appeal", id_), state, at


def _untold_moves(scope: Scope, since: datetime) -> Iterator[str]:
    """Moves of units without an event. Those within a sale have one since the migration `MOVES_TOLD`."""
    own = scope.units("unit")
    events = Event.objects.filter(
        own, sale__campaign=scope.campaign, type__in=[EventType.UNIT_REALLOCATED, EventType.UNIT_MOVED]
    )
    told = Counter(events.values_list("unit", "line"))
    applied = MigrationRecorder.Migration.objects.filter(app="flashsale", name=MOVES_TOLD)
    moved_since = max(since, *applied.values_list("applied", flat=True))
    moves = Move.objects.filter(own, unit__campaign=scope.campaign, at__gte=since).exclude(
        plan=None, at__lt=moved_since
    )
    for unit, line, serial in moves.order_by("pk").values_list("unit", "target", F("unit__serial")):
        told[unit, line] -= 1
        if told[unit, line] < 0:
            yield f"unit {serial} came to another line, and no event says it"
