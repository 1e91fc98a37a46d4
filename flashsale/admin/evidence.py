"""The frozen evidence of a case in words: categories and counts, nothing of other buyers."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from flashsale.admin.step import Table
from flashsale.life.rule_set_text import KINDS, MARKS


def summary(evidence: dict[str, Any]) -> str:
    """In one line: device ×5, paid only seconds after reserving."""
    shared = [f"{KINDS.get(seen['axis'], seen['axis'])} ×{seen['people']}" for seen in evidence.get("shared", ())]
    marks = [str(MARKS.get(seen["mark"], seen["mark"])) for seen in evidence.get("marks", ())]
    return ", ".join([*shared, *marks]) or "–"


def table(evidence: dict[str, Any]) -> Table:
    """One row for each thing seen, with the points it gives."""
    rows = [*_shared(evidence), *_linked(evidence), *_marks(evidence)]
    return Table(
        _("Evidence"), [_("seen"), _("how often"), _("trace"), _("points")], rows,
        [_("total"), "", "", evidence.get("score", 0)],
    )  # fmt: skip


def _shared(evidence: dict[str, Any]) -> list[list[Any]]:
    same = _("same %(axis)s")
    return [
        [same % {"axis": KINDS.get(seen["axis"], seen["axis"])}, _people(seen["people"]), seen.get("trace", ""), ""]
        for seen in evidence.get("shared", ())
    ]


def _linked(evidence: dict[str, Any]) -> list[list[Any]]:
    linked = evidence.get("linked") or {}
    return [[_("linked group"), _people(linked["people"]), "", linked["points"]]] if linked.get("people") else []


def _marks(evidence: dict[str, Any]) -> list[list[Any]]:
    return [[MARKS.get(seen["mark"], seen["mark"]), "", "", seen["points"]] for seen in evidence.get("marks", ())]


def _people(count: int) -> str:
    return ngettext("with %(count)d other person", "with %(count)d other people", count) % {"count": count}
