"""The evidence of a case as text: kinds of clues and counts, with no data of other buyers."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from flashsale.admin.action_page import Table
from flashsale.life.read_contacts import Reading, note_reading
from flashsale.life.rule_set_text import FACT_LABELS, KIND_LABELS, MARK_LABELS
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
    lists = [label for label, _entry in list_labels(evidence)]
    facts = [f"{label} ({points})" for label, points in _facts(evidence)]
    return ", ".join([*shared, *facts, *mark_labels(evidence), *lists]) or "–"


def evidence_table(evidence: dict[str, Any]) -> Table:
    """One row for each clue, with its points."""
    rows = [
        *_shared_rows(evidence),
        *_linked_rows(evidence),
        *([label, "", "", points] for label, points in _facts(evidence)),
        *_mark_rows(evidence),
        *_list_rows(evidence),
    ]
    head = [_("clue"), _("how often"), _("trace"), _("points")]
    threshold = evidence.get("rules", {}).get("threshold")
    looked_at = _("people look from %(points)s points on") % {"points": threshold} if threshold else ""
    return Table(_("Evidence"), head, rows, [_("total"), looked_at, "", evidence.get("score", 0)])


def kind_label(kind: str) -> str:
    """The name of a kind of shared value; the stored value if it has no label."""
    return str(KIND_LABELS.get(kind, kind))


def mark_labels(evidence: dict[str, Any]) -> list[str]:
    """The names of the marks of the order itself, such as a disposable e-mail address."""
    return [str(MARK_LABELS.get(clue["mark"], clue["mark"])) for clue in evidence.get("marks", ())]


def list_labels(evidence: dict[str, Any]) -> list[tuple[str, int]]:
    """The entries of lists that the order met when it was scored: in words, and the id."""
    texts = {"allow": _("on the allow list: %(axis)s"), "block": _("on the block list: %(axis)s")}
    return [
        (texts[clue["list"]] % {"axis": kind_label(clue["axis"])}, clue["entry"]) for clue in evidence.get("lists", ())
    ]


def _list_rows(evidence: dict[str, Any]) -> list[list[Any]]:
    return [[label, "", _("entry %(entry)d") % {"entry": entry}, ""] for label, entry in list_labels(evidence)]


def _shared_rows(evidence: dict[str, Any]) -> list[list[Any]]:
    same = _("same %(axis)s")
    return [
        [same % {"axis": kind_label(clue["axis"])}, _people(clue["people"]), clue.get("trace", ""), ""]
        for clue in evidence.get("shared", ())
    ]


def _linked_rows(evidence: dict[str, Any]) -> list[list[Any]]:
    linked = evidence.get("linked") or {}
    # With facts, the points of the group are those of its facts.
    points = "" if evidence.get("facts") else linked.get("points", "")
    return [[_("linked group"), _people(linked["people"]), "", points]] if linked.get("people") else []


def _facts(evidence: dict[str, Any]) -> list[tuple[str, int]]:
    """What the group has in common, in words, with the points."""
    return [(str(FACT_LABELS.get(one["fact"], one["fact"])), one["points"]) for one in evidence.get("facts", ())]


def _mark_rows(evidence: dict[str, Any]) -> list[list[Any]]:
    clues = zip(mark_labels(evidence), evidence.get("marks", ()), strict=True)
    return [[label, "", "", clue["points"]] for label, clue in clues]


def _people(count: int) -> str:
    return ngettext("with %(count)d other person", "with %(count)d other people", count) % {"count": count}
