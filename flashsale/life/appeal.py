"""Appeal: a buyer objects to a cancellation in time, and a person who had no part in it decides again.

Until the appeal is final, the order's units wait in the return pool, its limit stays used and its refund is not sent.
So an order that was cancelled wrongly can be restored as it was. A buyer who does not object can waive the appeal and
gets the refund at once.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from flashsale.books.endings import EndedReservation, describe_ended
from flashsale.books.events import NewEvent, of_move, of_order, of_reservation, record
from flashsale.books.refunds import withdraw_refunds
from flashsale.books.reservations import advance_units
from flashsale.gate import bridge
from flashsale.life import sealed_links
from flashsale.life.address_changes import require_another_person
from flashsale.life.cancel import make_final
from flashsale.life.give_back import give_back
from flashsale.life.reallocate import invite_priority_buyers
from flashsale.life.sale_card import card_of
from flashsale.life.staff_campaigns import rows_of
from flashsale.models import (
    Appeal,
    Cancellation,
    Case,
    Contact,
    Move,
    Notice,
    Record,
    Refund,
    Reservation,
    ReservationUnit,
    Sale,
    Unit,
)
from flashsale.rules import wall_clock
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import (
    AppealState,
    CaseState,
    RefundReason,
    Remedy,
    ReservationState,
    UnitState,
)

WORDS_MAX = 2000


def case_from_link(*, token: str) -> Case:
    """The case that a link in an e-mail leads to. Refuses NOT_FOUND (also if no order was cancelled) and EXPIRED."""
    related = ("reservation__sale__campaign", "reservation__cancellation", "appeal")
    cases = Case.objects.select_related(*related).filter(state=CaseState.CANCELLED)
    case = cases.filter(pk=sealed_links.row_id_of(sealed_links.Kind.APPEAL, token)).first()
    if case is None:
        raise Refused(Outcome.NOT_FOUND, "There is no such cancellation.")
    return case


def is_possible(*, case: Case, now: datetime) -> bool:
    """Whether the buyer may appeal now: no appeal has come yet, and the time to appeal is not over."""
    return not hasattr(case, "appeal") and _has_time(case, now)


def _has_time(case: Case, now: datetime) -> bool:
    return Cancellation.objects.filter(Cancellation.time_to_appeal(now), case=case).exists()


def appeal(*, case: Case, words: str = "", by: Any = "buyer") -> Appeal:
    """Stores a buyer's appeal, with their text (`words`) if they wrote one. A repeat returns the first appeal.

    Refuses APPEAL_OVER when the time to appeal is over.
    """
    with transaction.atomic():
        order = _locked_order(case)
        known = Appeal.objects.filter(case=case).first()
        if known:
            return known
        now = wall_clock.now()
        assert case.proposed_by, "the table refuses a cancelled case without these two people"
        assert case.decided_by
        if not _has_time(case, now):
            raise Refused(Outcome.APPEAL_OVER, "The cancellation is final.")
        fresh = Appeal.objects.create(
            case=case, proposed_by=case.proposed_by, approved_by=case.decided_by, received_at=now
        )
        contact = Contact.objects.select_for_update().filter(reservation=case.reservation_id).first()
        if contact and words.strip():
            contact.add(appeal=words.strip()[:WORDS_MAX])
        record([of_reservation(order, EventType.APPEAL_FILED)], now)
        Record.write("appeal", by=by, sale=order.sale, subject=order, why=case.reason)
    return fresh


def waive(*, case: Case) -> None:
    """Makes the cancellation final now, because the buyer does not object; the refund may be sent. Safe to repeat.

    Refuses APPEAL_OVER when an appeal has come, or when the time to appeal is over.
    """
    with transaction.atomic():
        order, now = _locked_order(case), wall_clock.now()
        ended = describe_ended(order) if is_waived(case=case) else _waive(order, case, now)
    bridge.run(give_back(card=card_of(order.sale), ended=ended))


def _waive(order: Reservation, case: Case, now: datetime) -> EndedReservation:
    if not is_possible(case=Case.objects.get(pk=case.pk), now=now):
        raise Refused(
            Outcome.APPEAL_OVER, "An appeal has come, or the time to appeal is over: nothing is left to waive."
        )
    Cancellation.objects.filter(case=case).update(appeal_until=now)
    ended = make_final(order)
    Record.write("waive", by="buyer", sale=order.sale, subject=order, why=case.reason)
    return ended


def is_waived(*, case: Case) -> bool:
    """Whether the buyer has waived the appeal."""
    return Record.objects.filter(what="waive", subject=f"reservation:{case.reservation_id}").exists()


def _locked_order(case: Case) -> Reservation:
    rows = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign")
    return rows.get(pk=case.reservation_id)


def decide(*, appeal: Appeal, overturned: bool, by: Any) -> Appeal:
    """Decides an appeal; the buyer gets a notice. The decider neither proposed nor approved the cancellation.

    Overturned: the order is restored with its own units, or with others of the return pool (a plan's reserve). If none
    is left, or if limit and refund were given back at once, the buyer gets the first unit of the next sale instead.
    Upheld: the limit is free again and the refund may be sent.
    Refuses FORBIDDEN when the appeal is decided already, to the two people who cancelled, and to a person who has
    changed the buyer's e-mail address: the link to appeal went there, so that person may have appealed.
    Raises GateDown when Redis does not answer: the decision stands then, and the process that looks after the sale
    tells Redis.
    """
    with transaction.atomic():
        row = Appeal.objects.select_for_update(of=("self",)).select_related("case").get(pk=appeal.pk)
        if row.state != AppealState.OPEN:
            raise Refused(Outcome.FORBIDDEN, f"The appeal is {row.state}.")
        if by.pk in {row.proposed_by_id, row.approved_by_id}:
            raise Refused(Outcome.FORBIDDEN, "A person who had no part in the cancellation must decide.")
        order, now = _locked_order(row.case), wall_clock.now()
        require_another_person(order, by)
        if overturned:
            row.remedy = Remedy.RESTORED if _restore(order, now) else Remedy.PRIORITY
        row.state = AppealState.OVERTURNED if overturned else AppealState.UPHELD
        row.decided_by, row.decided_at = by, now
        row.save()
        decision = {"decision": str(row.state), "remedy": str(row.remedy)}
        record([of_reservation(order, EventType.APPEAL_DECIDED, **decision)], now)
        Notice.objects.create(reservation=order, kind=Notice.Kind.DECIDED, sale=order.sale, due_at=now)
        ended: EndedReservation | None = None if row.remedy == Remedy.RESTORED else make_final(order)
        verb = "overturn" if overturned else "uphold"
        facts = {
            "case": row.case_id,
            "remedy": str(row.remedy),
            "cancelled_by": [row.proposed_by_id, row.approved_by_id],
        }
        Record.write(verb, by=by, sale=order.sale, subject=order, why=row.case.reason, facts=facts)
    if ended:
        bridge.run(give_back(card=card_of(order.sale), ended=ended))
    if row.remedy == Remedy.PRIORITY:
        invite_priority_buyers(source=order.sale)
    return row


def _restore(order: Reservation, now: datetime) -> bool:
    """Restores a cancelled order. Returns False if its limit or its money was given back, or if units are missing.

    A refund that no longer waits may be with the provider already, so its order is not restored.
    """
    owed = Refund.objects.filter(attempt__reservation=order, why=RefundReason.CANCELLED, waits=True)
    if not order.limit_slots.exists() or not owed.select_for_update().exists():
        return False
    units = _units_for(order)
    if units is None:
        return False
    advance_units([(unit.pk, unit.version) for unit in units], was=UnitState.RETURNED, becomes=UnitState.SOLD)
    moved: list[NewEvent] = []
    for unit, held in zip(units, order.items, strict=True):
        if held.unit_id == unit.pk:
            held.active = True
            held.save(update_fields=["active"])
            continue
        ReservationUnit.objects.create(reservation=order, unit=unit, sku=held.sku, price=held.price)
        if unit.allocation_id != order.allocation_id:
            Move.objects.create(unit=unit, origin_id=unit.allocation_id, target_id=order.allocation_id)
            origin = unit.allocation.code
            moved.append(of_move(unit, sale=order.sale_id, origin=origin, target=order.allocation_id))
            Unit.objects.filter(pk=unit.pk).update(allocation=order.allocation_id)
    order.state, order.ended_at = ReservationState.CONFIRMED, None
    order.save(update_fields=["state", "ended_at"])
    record([*moved, of_order(order, EventType.RESERVATION_RESTORED)], now)
    withdraw_refunds(owed, now)
    return True


def _units_for(order: Reservation) -> list[Unit] | None:
    """The order's own units if they are in the pool, else others of the same SKU without an open appeal.

    None if the pool has too few.
    """
    resting = Unit.objects.select_for_update().filter(allocation__sale=order.sale_id, state=UnitState.RETURNED)
    items = order.items
    own = resting.in_bulk([held.unit_id for held in items])
    others = resting.exclude(pk__in=own).exclude(reservation_units__reservation__case__appeal__state=AppealState.OPEN)
    taken: list[Unit] = []
    for held in items:
        spare = others.filter(sku=held.sku).exclude(pk__in=[unit.pk for unit in taken]).order_by("pk")
        unit = own.get(held.unit_id) or spare.filter(allocation=order.allocation_id).first() or spare.first()
        if unit is None:
            return None
        taken.append(unit)
    return taken


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One rule of the ledger: how many orders it flagged that were cancelled, and the results of their appeals."""

    rule: str
    cancelled: int
    appealed: int
    upheld: int
    overturned: int
    decided: int
    """The cancellations that are final: an appeal about them is decided, or no appeal is possible any more."""

    @property
    def precision(self) -> float | None:
        """The share of its final cancellations that were not overturned, from 0 to 1; None before the first is final.

        Cancellations that are not final yet are left out, because each of them may still be overturned.
        """
        return 1 - self.overturned / self.decided if self.decided else None


def ledger(*, sale: Sale | None = None, by: Any = None) -> list[LedgerEntry]:
    """One entry for each reason and each rule (with the version of its set), over one sale or the user's sales."""
    cases = rows_of(Case.objects.filter(state=CaseState.CANCELLED), by).select_related("appeal", "cancellation")
    counts: dict[str, Counter[str]] = {}
    now = wall_clock.now()
    for case in cases.filter(reservation__sale=sale) if sale else cases:
        state = case.appeal.state if hasattr(case, "appeal") else _without_appeal(case, now)
        for rule in _rules_of(case):
            counts.setdefault(rule, Counter())[state] += 1
    return [
        LedgerEntry(
            rule,
            found.total(),
            found.total() - found["final"] - found["not final"],
            found[AppealState.UPHELD],
            found[AppealState.OVERTURNED],
            found.total() - found["not final"] - found[AppealState.OPEN],
        )
        for rule, found in sorted(counts.items())
    ]


def _without_appeal(case: Case, now: datetime) -> str:
    cancelled = getattr(case, "cancellation", None)
    return "not final" if cancelled is not None and cancelled.has_time_to_appeal(now) else "final"


def _rules_of(case: Case) -> Iterator[str]:
    yield f"reason {case.reason}"
    yield from sorted({f"{case.rules_version} {rule}" for rule in _named(case.evidence)} or {case.rules_version})


def _named(evidence: dict[str, Any]) -> Iterator[str]:
    """The rules in a case's evidence: "same <axis>" for a shared axis, or the name of a fact or a mark."""
    yield from (f"same {entry['axis']}" for entry in evidence.get("shared", ()))
    yield from (str(entry["fact"]) for entry in evidence.get("facts", ()))
    yield from (str(entry["mark"]) for entry in evidence.get("marks", ()))
