"""The evidence of a case as text: kinds of clues and counts, with no data of other buyers."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from flashsale.admin.action_page import Table
from flashsale.life.read_contacts import Reading, note_reading
from flashsale.life.rule_set_text import KIND_LABELS, MARK_LABELS
from flashsale.models import Case


def note_evidence(cases: Iterable[Case], *, by: Any) -> None:
    """Writes one record about the evidence of these cases, before a page shows it."""
    shown = list(cases)
    sales = {case.reservation.sale for case in shown}
    sale = sales.pop() if len(sales) == 1 else None
    note_reading(Reading.EVIDENCE, by=by, sale=sale, orders=[case.reservation_id for case in shown])


def evidence_summary(evidence: dict[str, Any]) -> str:
    """All clues in one line: device ×5, disposable e-mail address."""
    shared = [f"{kind_label(clue['axis'])} ×{clue['people']}" for clue in evidence.get("shared", ())]
    return ", ".join([*shared, *mark_labels(evidence)]) or "–"


def evidence_table(evidence: dict[str, Any]) -> Table:
    """One row for each clue, with its points."""
    rows = [*_shared_rows(evidence), *_linked_rows(evidence), *_mark_rows(evidence)]
    head = [_("clue"), _("how often"), _("trace"), _("points")]
    return Table(_("Evidence"), head, rows, [_("total"), "", "", evidence.get("score", 0)])


def kind_label(kind: str) -> str:
    """The name of a kind of shared value; the stored value if it has no label."""
    return str(KIND_LABELS.get(kind, kind))


def mark_labels(evidence: dict[str, Any]) -> list[str]:
    """The names of the marks of the order itself, such as a disposable e-mail address."""
    return [str(MARK_LABELS.get(clue["mark"], clue["mark"])) for clue in evidence.get("marks", ())]


def _shared_rows(evidence: dict[str, Any]) -> list[list[Any]]:
    same = _("same %(axis)s")
    return [
        [same % {"axis": kind_label(clue["axis"])}, _people(clue["people"]), clue.get("trace", ""), ""]
        for clue in evidence.get("shared", ())
    ]


def _linked_rows(evidence: dict[str, Any]) -> list[list[Any]]:
    linked = evidence.get("linked") or {}
    return [[_("linked group"), _people(linked["people"]), "", linked["points"]]] if linked.get("people") else []


def _mark_rows(evidence: dict[str, Any]) -> list[list[Any]]:
    clues = zip(mark_labels(evidence), evidence.get("marks", ()), strict=True)
    return [[label, "", "", clue["points"]] for label, clue in clues]


def _people(count: int) -> str:
    return ngettext("with %(count)d other person", "with %(count)d other people", count) % {"count": count}
