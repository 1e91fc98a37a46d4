"""The work of reviewers around a case: whose it is, notes, and the other orders of its ring."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from flashsale.life import review
from flashsale.models import Case, CaseNote, Record, Reservation, RingOrder, Sale
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import ReservationState
from flashsale.rules.trail import text_digest

NOTE_CHARS_MAX = 2000


def _locked_undecided(case: Case) -> Case:
    row = Case.objects.select_for_update(of=("self",)).select_related("reservation__sale").get(pk=case.pk)
    if not row.is_open:
        raise Refused(Outcome.FORBIDDEN, f"The case is {row.state}.")
    return row


@transaction.atomic
def assign(*, case: Case, to: Any, by: Any) -> Case:
    """Gives an undecided case to a person, or to no person (None). A repeat leaves no second record.

    It does not restrict who decides. Refuses FORBIDDEN for a decided case.
    """
    row = _locked_undecided(case)
    if row.assigned_to_id == (to.pk if to else None):
        return row
    row.assigned_to = to
    row.save(update_fields=["assigned_to"])
    facts = {"case": row.pk, "to": f"staff:{to.pk}" if to else ""}
    Record.write("assign", by=by, sale=row.reservation.sale, subject=row.reservation, facts=facts)
    return row


@transaction.atomic
def add_note(*, case: Case, text: str, by: Any) -> CaseNote:
    """Adds a note to a case in any state. The trail has the digest of its text."""
    row = Case.objects.select_related("reservation__sale").get(pk=case.pk)
    note = CaseNote.objects.create(case=row, by=by, at=timezone.now(), sealed=CaseNote.encrypt({"text": text}))
    facts = {"case": row.pk, "note": note.pk}
    Record.write("note", by=by, sale=row.reservation.sale, subject=row.reservation, why=text_digest(text), facts=facts)
    return note


@dataclass(frozen=True, slots=True)
class RingRow:
    """One order of a ring. `stored` is what the review has stored about it; None for a case of an older review.

    `scored` is False for an order that no review may score now: restricted, or of a person who is erased.
    """

    order: Reservation
    case: Case | None
    stored: RingOrder | None
    scored: bool = True

    @property
    def score(self) -> float:
        """The score that the review gave to the order."""
        return self.stored.score if self.stored else self.case.score if self.case else 0

    @property
    def evidence(self) -> dict[str, Any]:
        """The evidence of the case, or what the review has stored."""
        return self.case.evidence if self.case else self.stored.evidence if self.stored else {}

    @property
    def threshold(self) -> int:
        """The threshold of the rules that have scored the order; 0 if no rules have."""
        return int(self.evidence.get("rules", {}).get("threshold", 0))

    def can_open(self, sale: Sale) -> bool:
        """Whether a case of this order can be opened from the page of a case of `sale`."""
        confirmed = self.order.state == ReservationState.CONFIRMED
        own = self.order.sale_id == sale.pk
        return self.case is None and self.stored is not None and confirmed and own and self.scored


def ring_of(case: Case) -> list[RingRow]:
    """All orders of the ring of a case, also those without a case, the highest score first. Empty if it has none.

    A case that was opened by hand belongs to the ring in which the newest review of the sale has found its order.
    """
    run, group = case.run_id, case.group
    if run is None:
        found = RingOrder.objects.filter(reservation=case.reservation_id).order_by("-run").first()
        if found is None:
            return []
        run, group = found.run_id, found.group
    if group is None:
        return []
    related = ("reservation__sale__campaign", "reservation__case", "run__rules")
    stored = {
        row.reservation_id: row for row in RingOrder.objects.filter(run=run, group=group).select_related(*related)
    }
    cases = Case.objects.filter(run=run, group=group).select_related("reservation__sale__campaign")
    left_out = set(review.not_to_score(Reservation.objects.filter(pk__in=stored)).values_list("pk", flat=True))
    rows = [
        RingRow(row.reservation, getattr(row.reservation, "case", None), row, id_ not in left_out)
        for id_, row in stored.items()
    ]
    rows += [RingRow(one.reservation, one, None) for one in cases if one.reservation_id not in stored]
    return sorted(rows, key=lambda row: (-row.score, str(row.order.pk)))


def open_rest(*, case: Case, by: Any) -> list[Case]:
    """Opens a case for each order of the ring that can have one; returns them. Safe to repeat.

    Each case has its own short transaction. If the process dies in between, a repeat opens the rest.
    """
    sale = case.reservation.sale
    opened = []
    for row in ring_of(case):
        if row.can_open(sale):
            try:
                opened.append(review.open_case(reservation=row.order, by=by, ring=row.stored))
            except Refused:
                continue  # the order has ended, or its person was erased, meanwhile
    return opened


def undecided(rows: Sequence[RingRow]) -> list[Case]:
    """The cases of a ring that are open."""
    return [row.case for row in rows if row.case is not None and row.case.state == "open"]
