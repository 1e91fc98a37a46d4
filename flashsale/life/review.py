"""Review: confirmed orders are scored by a published rule set; two people decide, nothing is cancelled by itself."""

import uuid
from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.life.cancel import cancel_locked
from flashsale.life.expire import give
from flashsale.life.rebuild import card_of
from flashsale.models import Case, Record, Reservation, ReviewRun, Sale, Trait
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import reason
from flashsale.rules.states import CaseState, ReservationState
from flashsale.rules.suspicion import RULES, Finding, Order, score, suspicious

# Short transactions: a review must never hold up a sale that runs at the same time.
CHUNK = 50


@transaction.atomic
def start(*, sale: Sale, by: Any = None) -> ReviewRun:
    """The row of work of a review; the one under way when there is one. Any worker may take it up (`carry_on`)."""
    run, fresh = ReviewRun.objects.get_or_create(
        sale=sale, finished_at=None,
        defaults={"rules_version": RULES.version, "rules_hash": RULES.content_hash()},
    )  # fmt: skip
    if fresh:
        Record.write("review", by=by, sale=sale, subject=run, facts={"rules": run.rules_hash})
    return run


def unfinished() -> list[int]:
    """Reviews that somebody has still to finish."""
    return list(ReviewRun.objects.filter(finished_at=None).values_list("pk", flat=True))


def carry_on(*, run: int) -> int:
    """Scores the orders of a review and opens the cases; how many new ones. Safe to repeat and to run beside itself.

    A worker that dies leaves the cases opened so far; the next one scores again, by the same rules, and opens the rest.
    """
    row = ReviewRun.objects.select_related("sale").get(pk=run)
    if row.finished_at:
        return 0
    orders = _orders(row.sale)
    ReviewRun.objects.filter(pk=run).update(orders=len(orders), scored=0)
    found = {finding.order_id: finding for finding in suspicious(score(orders))}
    opened = scored = 0
    for chunk in _chunks(order.id for order in orders):
        with transaction.atomic():
            opened += _open_cases([found[id_] for id_ in chunk if id_ in found])
            scored += len(chunk)
            ReviewRun.objects.filter(pk=run).update(scored=scored)
    ReviewRun.objects.filter(pk=run, finished_at=None).update(finished_at=timezone.now(), scored=len(orders))
    return opened


def _orders(sale: Sale) -> list[Order]:
    traits: dict[uuid.UUID, dict[Axis, bytes]] = {}
    confirmed = Reservation.objects.filter(sale=sale, state=ReservationState.CONFIRMED)
    for id_ in confirmed.order_by("confirmed_at", "pk").values_list("pk", flat=True):
        traits[id_] = {}
    rows = Trait.objects.filter(reservation__in=confirmed).values_list("reservation_id", "axis", "digest")
    for id_, axis, digest in rows.iterator():
        # A buyer may confirm between the two queries.
        if id_ in traits:
            traits[id_][Axis(axis)] = bytes.fromhex(digest)
    return [Order(id=str(id_), traits=known) for id_, known in traits.items()]


def _open_cases(findings: Iterable[Finding]) -> int:
    opened = 0
    for finding in findings:
        _, fresh = Case.objects.get_or_create(reservation_id=finding.order_id, defaults=_case_fields(finding))
        opened += fresh
    return opened


def _case_fields(finding: Finding) -> dict[str, Any]:
    return {
        "rules_version": RULES.version, "rules_hash": RULES.content_hash(), "score": finding.score,
        "evidence": finding.evidence(RULES),
    }  # fmt: skip


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    rest = iter(ids)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


@transaction.atomic
def open_case(*, reservation: Reservation, by: Any = None) -> Case:
    """A case that a person asks for, without a score; the one there is when there is one."""
    if reservation.state != ReservationState.CONFIRMED:
        raise Refused(Outcome.NOT_CANCELLABLE, f"The reservation is {reservation.state}.")
    fields = {"rules_version": "by hand", "rules_hash": ""}
    case, fresh = Case.objects.get_or_create(reservation=reservation, defaults=fields)
    if fresh:
        Record.write("open_case", by=by, sale=reservation.sale, subject=reservation, facts={"case": case.pk})
    return case


def _locked(case: Case, *states: CaseState) -> Case:
    row = Case.objects.select_for_update(of=("self",)).select_related("reservation__sale").get(pk=case.pk)
    if row.state not in states:
        raise Refused(Outcome.FORBIDDEN, f"The case is {row.state}.")
    return row


@transaction.atomic
def propose(*, case: Case, code: str, by: Any) -> Case:
    """One person proposes to cancel under a reason of the catalogue. Refuses FORBIDDEN when the case is not open."""
    row = _locked(case, CaseState.OPEN)
    row.state, row.reason = CaseState.PROPOSED, reason(code).code
    row.proposed_by, row.proposed_at = by, timezone.now()
    row.save()
    _note("propose", row, by, why=row.reason)
    return row


def _note(what: str, case: Case, by: Any, why: str = "") -> None:
    facts = {"case": case.pk, "rules": case.rules_hash}
    Record.write(what, by=by, sale=case.reservation.sale, subject=case.reservation, why=why, facts=facts)


@transaction.atomic
def reopen(*, case: Case, by: Any = None) -> Case:
    """Takes a proposal back. Refuses FORBIDDEN when there is none."""
    row = _locked(case, CaseState.PROPOSED)
    row.state, row.reason, row.proposed_by, row.proposed_at = CaseState.OPEN, "", None, None
    row.save()
    _note("reopen", row, by)
    return row


def approve(*, case: Case, by: Any) -> Case:
    """Another person approves: order, refund and notice change in one transaction; then the gate hears of it.

    Refuses FORBIDDEN to the proposer. Raises GateDown when the gate does not answer; the order is cancelled then.
    """
    now = timezone.now()
    with transaction.atomic():
        row = _locked(case, CaseState.PROPOSED)
        if row.proposed_by_id == by.pk:
            raise Refused(Outcome.FORBIDDEN, "Another person than the proposer must approve.")
        row.state, row.decided_by, row.decided_at = CaseState.CANCELLED, by, now
        row.save()
        reservation = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign").get(
            pk=row.reservation_id
        )  # fmt: skip
        ended = cancel_locked(reservation, code=row.reason, now=now, by=by, case=row)
    # Where the limit stays used until the appeal is final, the gate goes on counting the units too.
    if ended.frees_limit:
        bridge.run(give(card=card_of(reservation.sale), ended=ended))
    return row


@transaction.atomic
def dismiss(*, case: Case, by: Any) -> Case:
    """The order stands. A proposal is dismissed by another person than its proposer, who may reopen it instead."""
    row = _locked(case, CaseState.OPEN, CaseState.PROPOSED)
    if row.proposed_by_id == by.pk:
        raise Refused(Outcome.FORBIDDEN, "Take your proposal back, or let another person dismiss it.")
    row.state, row.decided_by, row.decided_at = CaseState.DISMISSED, by, timezone.now()
    row.save()
    _note("dismiss", row, by)
    return row
