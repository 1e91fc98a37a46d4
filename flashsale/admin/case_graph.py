"""The graph of a case's group: orders, and the values that they share. Drawn on the server as SVG."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from flashsale.admin.action_page import Table
from flashsale.admin.evidence import kind_label, mark_labels
from flashsale.life.read_contacts import read_contacts
from flashsale.life.rule_set_text import KIND_LABELS
from flashsale.models import Case

ORDERS_MAX = 30
VALUES_MAX = 24
# In units of the SVG's viewBox: height of a row, upper margin, x of the orders, x of the values.
ROW, TOP, LEFT, RIGHT = 24, 16, 190, 470

# The kind of a shared value and its trace: a short sign, so that the value itself is not shown.
SharedValue = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Node:
    """An order or a shared value. `kind` is the CSS class; `link` is the id of an order's case."""

    x: int
    y: int
    label: str
    kind: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """A line from an order to a value that it has."""

    x1: int
    y1: int
    x2: int
    y2: int
    kind: str


@dataclass(frozen=True, slots=True)
class Graph:
    """The drawing. `more` counts the orders of the group that are not drawn."""

    height: int
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    more: int


def group_of(case: Case) -> list[Case]:
    """The case, then the other cases of its group by score. Only the case itself if it was opened by hand."""
    if case.run_id is None:
        return [case]
    rows = Case.objects.filter(run=case.run_id, group=case.group).select_related("reservation__sale")
    others = rows.exclude(pk=case.pk).order_by("-score", "pk")
    return [case, *others]


def _values(case: Case) -> list[SharedValue]:
    # An erased campaign has no traces.
    return [(clue["axis"], clue["trace"]) for clue in case.evidence.get("shared", ()) if "trace" in clue]


def draw(group: Sequence[Case]) -> Graph:
    """Orders on the left; on the right the values that at least two of them share."""
    shown = group[:ORDERS_MAX]
    counted = Counter(value for case in shown for value in _values(case))
    shared = [value for value, count in counted.most_common(VALUES_MAX) if count > 1]
    height = TOP + ROW * max(len(shown), len(shared), 1)
    spacing = (height - TOP) / max(len(shared), 1)
    value_y = {value: TOP + round(spacing * (place + 0.5)) - 4 for place, value in enumerate(shared)}
    order_y = {case.pk: TOP + ROW * place for place, case in enumerate(shown)}
    orders = [
        Node(
            LEFT,
            order_y[case.pk],
            f"{str(case.reservation_id)[:8]} · {case.score:.0f}",
            "this" if place == 0 else "order",
            str(case.pk),
        )
        for place, case in enumerate(shown)
    ]
    values = [Node(RIGHT, value_y[value], f"{kind_label(value[0])} {value[1]}", value[0]) for value in shared]
    edges = [
        Edge(LEFT, order_y[case.pk], RIGHT, value_y[value], value[0])
        for case in shown
        for value in _values(case)
        if value in value_y
    ]
    return Graph(height, [*orders, *values], edges, len(group) - len(shown))


def side_by_side(group: Sequence[Case], *, reader: Any) -> Table:
    """The graph's data as a table: one row an order, one column a kind of value.

    The same trace in a column means the same value. Names and addresses are added if the reader may see
    contacts, and the audit trail records that they were read.
    """
    shown = group[:ORDERS_MAX]
    kinds = [kind for kind in KIND_LABELS if any(kind == axis for case in shown for axis, _trace in _values(case))]
    rows = []
    with_contacts = reader.has_perm("flashsale.view_contact")
    contacts = _contacts(shown, reader) if with_contacts else {}
    for case in shown:
        traces = dict(_values(case))
        marks = ", ".join(mark_labels(case.evidence))
        row = [str(case.reservation_id)[:8], f"{case.score:.0f}", *(traces.get(kind, "") for kind in kinds)]
        # The clues are long, so they come last: a reviewer compares names and addresses without scrolling.
        rows.append([*row, *(contacts.get(case.pk, ["–"] * 4) if with_contacts else []), marks])
    contact_head = [_("name"), _("address"), _("phone"), _("e-mail")] if with_contacts else []
    head = [_("reservation"), _("score"), *(KIND_LABELS[kind] for kind in kinds), *contact_head, _("clues")]
    return Table(_("Side by side: the same sign in a column is the same value"), head, rows)


def _contacts(cases: Sequence[Case], reader: Any) -> dict[Any, list[str]]:
    """Name, address, phone and e-mail by the case's id; without contacts that are erased or cannot be decrypted."""
    found = read_contacts(reservations=[case.reservation for case in cases], by=reader)
    shown = ((case.pk, found.get(case.reservation_id)) for case in cases)
    return {pk: [data[field] for field in ("name", "address", "phone", "email")] for pk, data in shown if data}
