"""Who is linked to whom by what: orders of one group beside the values that they share, drawn on the server."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import InvalidToken
from django.utils.translation import gettext as _

from flashsale.admin.step import Table
from flashsale.life.rule_set_text import KINDS, MARKS
from flashsale.models import Case, Contact

DRAWN_MAX = 30
VALUES_MAX = 24
ROW, TOP, LEFT, RIGHT = 24, 16, 190, 470

Value = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Dot:
    """An order or a value with its label; `kind` is the class that colours it."""

    x: int
    y: int
    label: str
    kind: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An order has a value."""

    x1: int
    y1: int
    x2: int
    y2: int
    kind: str


@dataclass(frozen=True, slots=True)
class Graph:
    """The picture: its height, dots, lines, and how many orders did not fit."""

    height: int
    dots: Sequence[Dot]
    lines: Sequence[Line]
    more: int


def group_of(case: Case) -> list[Case]:
    """The cases of a case's group in its review, itself first; itself alone where nobody scored it."""
    if case.run_id is None:
        return [case]
    others = Case.objects.filter(run=case.run_id, group=case.group).exclude(pk=case.pk).order_by("-score", "pk")
    return [case, *others]


def _values(case: Case) -> list[Value]:
    # Without a trace, where the campaign's people are erased.
    return [(seen["axis"], seen["trace"]) for seen in case.evidence.get("shared", ()) if "trace" in seen]


def draw(group: Sequence[Case]) -> Graph:
    """Orders on the left, the values that at least two of them share on the right."""
    shown = group[:DRAWN_MAX]
    counted = Counter(value for case in shown for value in _values(case))
    shared = [value for value, count in counted.most_common(VALUES_MAX) if count > 1]
    height = TOP + ROW * max(len(shown), len(shared), 1)
    step = (height - TOP) / max(len(shared), 1)
    at = {value: TOP + round(step * (place + 0.5)) - 4 for place, value in enumerate(shared)}
    rows = {case.pk: TOP + ROW * place for place, case in enumerate(shown)}
    orders = [
        Dot(LEFT, rows[case.pk], f"{str(case.reservation_id)[:8]} · {case.score:.0f}", "this" if not place else "order",
            str(case.pk))
        for place, case in enumerate(shown)
    ]  # fmt: skip
    values = [Dot(RIGHT, at[value], f"{KINDS.get(value[0], value[0])} {value[1]}", value[0]) for value in shared]
    lines = [
        Line(LEFT, rows[case.pk], RIGHT, at[value], value[0])
        for case in shown
        for value in _values(case)
        if value in at
    ]
    return Graph(height, [*orders, *values], lines, len(group) - len(shown))


def side_by_side(group: Sequence[Case], *, with_contacts: bool) -> Table:
    """The same as a table: a row an order, a column a kind; the same sign in a column means the same value.

    Names and addresses only for those who may see them.
    """
    shown = group[:DRAWN_MAX]
    kinds = [kind for kind in KINDS if any(kind == axis for case in shown for axis, _trace in _values(case))]
    rows = []
    contacts = _contacts(shown) if with_contacts else {}
    for case in shown:
        traces = dict(_values(case))
        marks = ", ".join(str(MARKS.get(seen["mark"], seen["mark"])) for seen in case.evidence.get("marks", ()))
        row = [str(case.reservation_id)[:8], f"{case.score:.0f}", *(traces.get(kind, "") for kind in kinds), marks]
        rows.append([*row, *contacts.get(case.pk, ["–"] * 4)] if with_contacts else row)
    people = [_("name"), _("address"), _("phone"), _("e-mail")] if with_contacts else []
    head = [_("reservation"), _("score"), *(KINDS[kind] for kind in kinds), _("seen"), *people]
    return Table(_("Side by side: the same sign in a column is the same value"), head, rows)


def _contacts(shown: Sequence[Case]) -> dict[Any, list[str]]:
    by_order = {case.reservation_id: case.pk for case in shown}
    found = {}
    for contact in Contact.objects.filter(reservation__in=by_order):
        try:
            data = contact.read()
        except InvalidToken:
            continue
        found[by_order[contact.reservation_id]] = [data[field] for field in ("name", "address", "phone", "email")]
    return found
