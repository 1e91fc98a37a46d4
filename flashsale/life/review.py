"""Review: a published rule set scores confirmed orders; two people decide. No order is cancelled automatically."""

import hmac
import logging
import time
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from flashsale.books.endings import EndedReservation
from flashsale.books.events import of_reservation, record
from flashsale.books.other_writers import OtherWriters
from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import score
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.cancel import AT_ONCE, WORK_FOR_S, cancel_locked
from flashsale.life.give_back import give_back
from flashsale.life.personal_tables import without_traces
from flashsale.life.refund_window import decide_cases_by
from flashsale.life.sale_card import card_of
from flashsale.models import Case, CaseNote, CaseView, PublishedRuleSet, Record, Reservation, ReviewRun, RingOrder, Sale
from flashsale.rules import wall_clock
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import cancel_reason
from flashsale.rules.review.fact_rules import AnyRuleSet
from flashsale.rules.review.suspicion import Finding, suspicious
from flashsale.rules.states import CaseState, ReservationState
from flashsale.rules.trail import text_digest

log = logging.getLogger(__name__)
# Transactions are short, so that a review does not delay a sale that runs at the same time.
CHUNK = 50
# Orders of rings are stored and locked by statements of this many rows.
RINGS_AT_ONCE = 200
# A person who decides several cases at once must have viewed one in ten of them, and at least three.
SAMPLE_ONE_IN, SAMPLE_MIN = 10, 3
# The class of the PostgreSQL advisory locks of review runs ("runs" in ASCII).
RUN_LOCK = int.from_bytes(b"runs")


@transaction.atomic
def start(*, sale: Sale, by: Any = None) -> ReviewRun:
    """A review run by the rules that the sale was published with; returns the unfinished one if there is one.

    Any worker may execute it (`execute`).
    """
    assert sale.rules is not None, "published sales have rules"
    fields = {"rules": sale.rules, "asked_by": by}
    run, fresh = ReviewRun.objects.get_or_create(sale=sale, dry=False, finished_at=None, defaults=fields)
    if fresh:
        Record.write("review", by=by, sale=sale, subject=run, facts={"rules": sale.rules.hash})
    return run


def start_dry_run(*, sale: Sale, rules: PublishedRuleSet, by: Any = None) -> ReviewRun:
    """A dry run by any rules, which opens no case; returns the unfinished dry run of the sale if there is one."""
    fields = {"rules": rules, "asked_by": by}
    return ReviewRun.objects.get_or_create(sale=sale, dry=True, finished_at=None, defaults=fields)[0]


def unfinished_runs() -> list[int]:
    """The ids of the review runs that a worker still has to finish."""
    return list(ReviewRun.objects.filter(finished_at=None).values_list("pk", flat=True))


def execute(*, run: int) -> int:
    """Scores the orders of a review run and opens the cases; returns how many are new.

    Safe to repeat and to run in parallel. A worker that dies leaves the cases that it has opened. The next worker
    scores again by the same rules and opens the rest.
    """
    with advisory_lock(RUN_LOCK, run, wait=False) as locked:
        row = ReviewRun.objects.select_related("sale__campaign", "rules").get(pk=run)
        return 0 if row.finished_at or not locked else _execute(row)


def _execute(row: ReviewRun) -> int:
    this_run = ReviewRun.objects.filter(pk=row.pk)
    findings = score.findings(
        sale=row.sale,
        rules=row.rules.read(),
        lists_at=row.asked_at,
        on_progress=lambda read, orders: this_run.update(read=read, orders=orders),
    )
    rules = findings.rules
    opened, flagged = 0, [] if row.dry else suspicious(findings, rules)
    _store_rings([*findings, *findings.elsewhere], {finding.group for finding in flagged}, row, rules)
    by_order = {finding.order_id: finding for finding in flagged}
    for at in range(0, len(findings), CHUNK):
        chunk = findings[at : at + CHUNK]
        with transaction.atomic():
            opened += _open_cases([by_order[one.order_id] for one in chunk if one.order_id in by_order], row, rules)
            this_run.update(scored=at + len(chunk))
    ended = this_run.filter(finished_at=None)
    ended.update(
        finished_at=wall_clock.now(), orders=len(findings), scored=len(findings), summary=score.summary(findings, rules)
    )
    return opened


def _store_rings(findings: Sequence[Finding], flagged: Collection[int], run: ReviewRun, rules: AnyRuleSet) -> None:
    """Stores all orders of the groups in which an order is flagged. A repeat of the run stores the missing ones."""
    sizes = Counter(finding.group for finding in findings)
    rings = [finding for finding in findings if finding.group in flagged and sizes[finding.group] > 1]
    for at in range(0, len(rings), RINGS_AT_ONCE):
        rows = [
            RingOrder(
                run=run,
                reservation_id=one.order_id,
                group=one.group,
                score=one.score,
                evidence=one.evidence(rules, str(run.rules.version), run.rules.hash),
            )
            for one in rings[at : at + RINGS_AT_ONCE]
        ]
        ids = [row.reservation_id for row in rows]
        with transaction.atomic():
            # The lock waits for an erasure of one of these people, and an erasure waits for this transaction.
            list(Reservation.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk").values_list("pk"))
            RingOrder.objects.bulk_create(rows, ignore_conflicts=True)
            without_traces(RingOrder.objects.filter(run=run, reservation__in=_erased(ids)))


def _erased(ids: Collection[Any]) -> "QuerySet[Reservation]":
    """Those of these orders whose person is erased. The review has read each order with the traits of its person."""
    return Reservation.objects.filter(pk__in=ids, traits=None)


def not_to_score(reservations: "QuerySet[Reservation]") -> "QuerySet[Reservation]":
    """Those of these orders that no review may score: restricted ones, and those of a person who is erased."""
    return reservations.filter(Q(restriction__isnull=False) | Q(traits=None))


def _open_cases(findings: Sequence[Finding], run: ReviewRun, rules: AnyRuleSet) -> int:
    # Locked, because a person may open a case of the same order now.
    locked = Reservation.objects.select_for_update().filter(pk__in=[finding.order_id for finding in findings])
    orders = {str(row.pk): row for row in locked.order_by("pk")}
    known = {
        str(id_) for id_ in Case.objects.filter(reservation__in=list(orders)).values_list("reservation_id", flat=True)
    }
    fresh = [finding for finding in findings if finding.order_id not in known]
    now = wall_clock.now()
    deadlines = decide_cases_by([orders[one.order_id].pk for one in fresh], run.sale.campaign, now) if fresh else {}
    Case.objects.bulk_create(
        [
            Case(
                reservation_id=finding.order_id,
                run=run,
                group=finding.group,
                score=finding.score,
                rules_version=str(run.rules.version),
                rules_hash=run.rules.hash,
                evidence=finding.evidence(rules, str(run.rules.version), run.rules.hash),
                deadline_at=deadlines[orders[finding.order_id].pk],
            )
            for finding in fresh
        ],
    )
    # The orders are locked, so no erasure happens between this and the commit.
    without_traces(Case.objects.filter(run=run, reservation__in=_erased(list(orders))))
    record([of_reservation(orders[one.order_id], EventType.CASE_OPENED) for one in fresh], now)
    return len(fresh)


@transaction.atomic
def open_case(*, reservation: Reservation, by: Any = None, ring: RingOrder | None = None) -> Case:
    """Opens a case that a person asks for. Returns the existing case if there is one.

    With `ring`, the case has the score and the evidence that the review has stored for this order of a ring.

    Refuses NOT_CANCELLABLE unless the reservation is confirmed. With `ring`, refuses FORBIDDEN for an order that no
    review may score (`not_to_score`).
    """
    locked = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
    reservation = locked.get(pk=reservation.pk)
    if reservation.state != ReservationState.CONFIRMED:
        raise Refused(Outcome.NOT_CANCELLABLE, f"The reservation is {reservation.state}.")
    if ring and not_to_score(Reservation.objects.filter(pk=reservation.pk)).exists():
        raise Refused(Outcome.FORBIDDEN, "The order is restricted, or its person is erased.")
    by_ring = _fields_of(ring) if ring else {"rules_version": "by hand", "rules_hash": ""}
    deadlines = decide_cases_by([reservation.pk], reservation.sale.campaign, wall_clock.now())
    fields = {**by_ring, "deadline_at": deadlines[reservation.pk]}
    case, fresh = Case.objects.get_or_create(reservation=reservation, defaults=fields)
    if fresh:
        record([of_reservation(reservation, EventType.CASE_OPENED)], wall_clock.now())
        Record.write("open_case", by=by, sale=reservation.sale, subject=reservation, facts={"case": case.pk})
    return case


def _fields_of(ring: RingOrder) -> dict[str, Any]:
    return {
        "run": ring.run,
        "group": ring.group,
        "score": ring.score,
        "rules_version": str(ring.run.rules.version),
        "rules_hash": ring.run.rules.hash,
        "evidence": ring.evidence,
    }


def record_view(*, case: Case, by: Any) -> None:
    """Notes that a person has viewed the evidence of a case."""
    CaseView.objects.get_or_create(case=case, by=by)


def unviewed_sample(*, cases: Sequence[Case], by: Any) -> list[Case]:
    """The cases of a random sample that this person has not viewed yet; empty for a single case.

    The sample is computed from person, cases and a secret, so a repeat gives the same sample.
    """
    if len(cases) < 2:
        return []
    size = min(len(cases), max(SAMPLE_MIN, -(-len(cases) // SAMPLE_ONE_IN)))
    secret = f"{settings.SECRET_KEY}/{by.pk}/{sorted(case.pk for case in cases)}".encode()
    drawn = sorted(cases, key=lambda case: hmac.digest(secret, str(case.pk).encode(), sha256))[:size]
    viewed = set(CaseView.objects.filter(case__in=drawn, by=by).values_list("case_id", flat=True))
    return [case for case in drawn if case.pk not in viewed]


def _locked(case: Case, *states: CaseState) -> Case:
    row = Case.objects.select_for_update(of=("self",)).select_related("reservation__sale").get(pk=case.pk)
    if row.state not in states:
        raise Refused(Outcome.FORBIDDEN, f"The case is {row.state}.")
    return row


@transaction.atomic
def propose(*, case: Case, code: str, by: Any) -> Case:
    """Proposes to cancel the order under a reason of the catalogue. Refuses FORBIDDEN when the case is not open."""
    row = _locked(case, CaseState.OPEN)
    row.state, row.reason = CaseState.PROPOSED, cancel_reason(code).code
    row.proposed_by, row.proposed_at = by, wall_clock.now()
    row.save()
    _note("propose", row, by, why=row.reason)
    return row


def _note(verb: str, case: Case, by: Any, why: str = "") -> None:
    facts = {"case": case.pk, "rules": case.rules_hash}
    Record.write(verb, by=by, sale=case.reservation.sale, subject=case.reservation, why=why, facts=facts)


@transaction.atomic
def reopen(*, case: Case, by: Any = None) -> Case:
    """Takes a proposal back: the case is open again. Refuses FORBIDDEN when there is no proposal."""
    return _reopened(_locked(case, CaseState.PROPOSED), "reopen", by)


@transaction.atomic
def undo(*, case: Case, by: Any) -> Case:
    """Takes an approval back: the case is open again. Refuses FORBIDDEN once the order is cancelled."""
    return _reopened(_locked(case, CaseState.APPROVED), "undo", by)


def _reopened(row: Case, what: str, by: Any) -> Case:
    row.state, row.reason, row.proposed_by, row.proposed_at = CaseState.OPEN, "", None, None
    row.decided_by, row.decided_at, row.due_at = None, None, None
    row.save()
    _note(what, row, by)
    return row


def approve(*, case: Case, by: Any) -> Case:
    """Approves a proposal. The order is cancelled when the campaign's time to undo is over, or now if it has none.

    Refuses FORBIDDEN to the proposer, and while the proposer is switched off. Raises GateDown when Redis does not
    answer; the order is cancelled then.
    """
    now = wall_clock.now()
    ended = None
    with transaction.atomic():
        row = _locked(case, CaseState.PROPOSED)
        if row.proposed_by_id == by.pk:
            raise Refused(Outcome.FORBIDDEN, "Another person than the proposer must approve.")
        if row.proposed_by and not row.proposed_by.is_active:
            raise Refused(
                Outcome.FORBIDDEN, "The proposer is switched off. Take the proposal back, and propose it anew."
            )
        wait = timedelta(seconds=row.reservation.sale.campaign.undo_s)
        row.state, row.decided_by, row.decided_at, row.due_at = CaseState.APPROVED, by, now, now + wait
        row.save()
        if wait:
            _note("approve", row, by, why=row.reason)
        else:
            ended = _cancel(row, now)
    if ended:
        _tell_gate(row, ended)
    return row


def carry_out_due() -> int:
    """Cancels the orders of approved cases whose time to undo is over; returns how many.

    It works for about WORK_FOR_S at most. Safe to repeat and to run in parallel.
    """
    until, done, others = time.monotonic() + WORK_FOR_S, 0, OtherWriters()
    due = Case.objects.filter(state=CaseState.APPROVED, due_at__lte=wall_clock.now()).order_by("due_at", "pk")
    for case in due[:AT_ONCE]:
        if time.monotonic() > until:
            break
        done += _carry_out(case)
        others.let_in()
    return done


def _carry_out(case: Case) -> bool:
    ended = None
    with transaction.atomic():
        row = Case.objects.select_for_update(of=("self",)).select_related("reservation__sale").get(pk=case.pk)
        if row.state != CaseState.APPROVED:
            return False
        if row.reservation.state == ReservationState.CONFIRMED:
            ended = _cancel(row, wall_clock.now())
        else:
            # The order has ended already, because its buyer cancelled it first.
            row.state, row.deadline_at = CaseState.DISMISSED, None
            row.save()
            _record_decision(row, wall_clock.now())
    if ended:
        try:
            _tell_gate(row, ended)
        except GateDown as error:
            log.warning(
                "Redis was not told that the order of case %s is cancelled; it is told again soon: %s", row.pk, error
            )
    return ended is not None


def _cancel(row: Case, now: datetime) -> EndedReservation:
    """Cancels the order, its refund and the notice together with the case, in the caller's transaction."""
    row.state, row.deadline_at = CaseState.CANCELLED, None
    row.save()
    orders = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
    reservation = orders.get(pk=row.reservation_id)
    _record_decision(row, now)
    return cancel_locked(reservation, code=row.reason, now=now, by=row.decided_by, case=row)


def _tell_gate(row: Case, ended: EndedReservation) -> None:
    # If the limit stays used until the appeal is final, Redis must go on counting the units too.
    if ended.frees_limit:
        bridge.run(give_back(card=card_of(row.reservation.sale), ended=ended))


@transaction.atomic
def dismiss(*, case: Case, by: Any, why: str = "") -> Case:
    """Dismisses a case: the order stands. `why` is kept as a note on the case.

    Refuses FORBIDDEN to the proposer, who may take the proposal back instead.
    """
    row = _locked(case, CaseState.OPEN, CaseState.PROPOSED)
    if row.proposed_by_id == by.pk:
        raise Refused(Outcome.FORBIDDEN, "Take your proposal back, or let another person dismiss it.")
    row.state, row.decided_by, row.decided_at = CaseState.DISMISSED, by, wall_clock.now()
    row.deadline_at = None
    row.save()
    _record_decision(row, row.decided_at)
    if why:
        CaseNote.objects.create(case=row, by=by, at=row.decided_at, sealed=CaseNote.encrypt({"text": why}))
    _note("dismiss", row, by, why=text_digest(why) if why else "")
    return row


def _record_decision(row: Case, now: datetime) -> None:
    order = Reservation.objects.select_for_update().get(pk=row.reservation_id)
    record([of_reservation(order, EventType.CASE_DECIDED, decision=str(row.state))], now)
