"""The fairness report as a page: all figures in tables, some also as drawings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_datetime
from django.utils.formats import number_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from flashsale.life.fairness_report import FRESH, report
from flashsale.life.rule_set_text import KIND_LABELS
from flashsale.rules.gini import OTHER
from flashsale.rules.outcomes import Refused
from flashsale.rules.reasons import REASONS, cancel_reason
from flashsale.web import problems
from flashsale.web.api.catalogue import published_sale
from flashsale.web.formatting import format_time
from flashsale.web.pages import texts
from flashsale.web.pages.sale_page import page_context

# Units of the SVG drawings; CSS scales them to the width of the page.
WIDTH, HEIGHT, BAR = 320, 120, 10


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report, with optional drawings.

    `bars` has for each row its label and the bars (CSS class, width); `key` names the two classes. `curve` is the list
    of points of an SVG polyline; `curve_ends` are the labels of its two ends.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    bars: Sequence[tuple[str, Sequence[tuple[str, int]]]] = ()
    key: Sequence[str] = ()
    curve: str = ""
    curve_ends: tuple[str, str] = ("", "")


@gzip_page
@cache_control(private=True, max_age=int(FRESH.total_seconds()))
@require_safe
def fairness(request: HttpRequest, code: str) -> HttpResponse:
    """Shows the report of a sale that is over; 404 before that."""
    try:
        sale = published_sale(code)
        data = report(sale=sale)
    except Refused as refused:
        raise Http404 from refused
    zone = sale.campaign.time_zone
    times = {name: format_time(parse_datetime(data[name]), zone) for name in ("opened_at", "closed_at", "made_at")}  # type: ignore[arg-type]
    context = {"sale": sale, "report": data, "times": times, "verdicts": _verdicts(data), "tables": _tables(data)}
    return render(request, "flashsale/fairness.html", context | page_context(request))


def _verdicts(data: Mapping[str, Any]) -> list[tuple[bool | None, str]]:
    """The results of the checks, each with a sentence; None if there was nothing to check."""
    draw, order = data["draw"], data["order"]
    if not draw["drawn"]:
        drawn = _("The line was never drawn.")
    elif draw["verified"]:
        drawn = _("The draw followed from the secret whose fingerprint was published before.")
    else:
        drawn = _("The draw did not follow from the secret whose fingerprint was published before.")
    counted = {"count": order["reservations"], "broken": order["wrong"] + (order["before_call"] or 0)}
    if order["kept"]:
        kept = _("The order was kept: none of %(count)d reservations came before its number was called.") % counted
    else:
        kept = _("The order was broken: %(broken)d of %(count)d reservations do not fit their number.") % counted
    balanced = all(_balanced(line["units"]) for line in data["lines"])
    units = _("Every unit is accounted for.") if balanced else _("The units do not add up.")
    return [(draw["verified"] if draw["drawn"] else None, drawn), (order["kept"], kept), (balanced, units)]


def _balanced(units: Mapping[str, int]) -> bool:
    came = units["new"] + units["moved_in"] - units["moved_out"]
    return came == units["free"] + units["held"] + units["sold"] + units["returned"]


def _tables(data: Mapping[str, Any]) -> list[Table]:
    made = [_channels(data), _people(data), *_calls(data), _units(data), _refused(data), _concentration(data)]
    return [table for table in [*made, _endings(data), _cancelled(data), _appeals(data), _returned(data)] if table.rows]


def _bars(rows: Sequence[tuple[str, Sequence[int]]]) -> list[tuple[str, list[tuple[str, int]]]]:
    largest = max((number for _label, numbers in rows for number in numbers), default=0)
    kinds = ("first", "second")
    return [
        (label, [(kind, round(number / largest * WIDTH)) for kind, number in zip(kinds, numbers, strict=False)])
        for label, numbers in rows
        if largest
    ]


def _channels(data: Mapping[str, Any]) -> Table:
    rows = [(c["name"], c["bought"], c["kept"]) for c in data["channels"]]
    note = _("Bought, and what is left of it after cancellations.")
    head = [_("Channel"), _("Bought"), _("Left")]
    return Table(_("Units by channel"), head, rows, note, _bars([(row[0], row[1:]) for row in rows]), head[1:])


def _people(data: Mapping[str, Any]) -> Table:
    rows = [
        (line["name"], line["entered"], line["cohort"], line["called"], line["no_shows"])
        for line in data["lines"]
        if line["by_our_line"]
    ]
    note = _("Drawn: who was there at the opening. Did not come: called, and neither reserved nor left the line.")
    head = [_("Line"), _("Entered"), _("Drawn"), _("Called"), _("Did not come")]
    return Table(_("People in the lines"), head, rows, note)


def _calls(data: Mapping[str, Any]) -> list[Table]:
    """The curve of calls over time, for each line whose calls took at least a second."""
    tables = []
    for line in data["lines"]:
        calls = [(0, 0), *map(tuple, line["calls"])]
        if calls[-1][0] == 0:
            continue
        seconds, number = calls[-1]
        at = [(round(s / seconds * WIDTH, 1), round(HEIGHT - n / number * HEIGHT, 1)) for s, n in calls]
        # A step curve, because the number stays the same between two calls.
        steps = [f"{x},{before} {x},{y}" for (_x, before), (x, y) in zip([at[0], *at], at, strict=False)]
        title = _("How calling went on: %(line)s") % {"line": line["name"]}
        shown = calls[1 :: max(1, len(calls) // 8)]
        rows = [(s, n) for s, n in dict.fromkeys([*shown, calls[-1]])]
        ends = (_("0 s"), _("%(seconds)d s") % {"seconds": seconds})
        head = [_("Seconds after the opening"), _("Called up to number")]
        tables.append(Table(title, head, rows, curve=" ".join(steps), curve_ends=ends))
    return tables


def _units(data: Mapping[str, Any]) -> Table:
    columns = ("new", "moved_in", "moved_out", "sold", "free", "held", "returned")
    rows = [(line["name"], *(line["units"][column] for column in columns)) for line in data["lines"]]
    head = [_("Line"), _("New"), _("Moved in"), _("Moved out"), _("Sold"), _("Unsold"), _("Held"), _("In the pool")]
    note = _("New and moved in, less moved out, is what was sold, stayed, or came back.")
    return Table(_("Units"), head, rows, note)


def _refused(data: Mapping[str, Any]) -> Table:
    verbs = {"enter": _("entering"), "reserve": _("reserving"), "leave": _("leaving"), "look": _("looking")}
    rows = [
        (f"{verbs[row['verb']]}: {problems.title_of_value(row['reason'], get_language() or 'id')}", row["times"])
        for row in data["refused"]
        if row["verb"] in verbs
    ]
    note = _("Counted per try, not per person.")
    bars = _bars([(row[0], row[1:]) for row in rows[:8]])
    return Table(_("Refused at the door"), [_("When and why"), _("Tries")], rows, note, bars)


def _concentration(data: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(KIND_LABELS.get(row["axis"], row["axis"])),
            *(row[when][figure] for when in ("bought", "kept") for figure in ("holders", "largest")),
            "\u00a0→\u00a0".join(number_format(row[when]["gini"], 2) for when in ("bought", "kept")),
        )
        for row in data["concentration"]
        if row["bought"]["holders"]
    ]
    note = _("How many held units, how many units the largest holder had, and the Gini coefficient (0: all the same).")
    head = [_("By"), _("Holders"), _("Largest"), _("Holders left"), _("Largest left"), _("Gini")]
    bars = _bars([(row[0], (row[2], row[4])) for row in rows])
    return Table(_("Who got how many"), head, rows, note, bars, (head[2], head[4]))


def _endings(data: Mapping[str, Any]) -> Table:
    names = texts.order_states()
    rows = [(names[state], count) for state, count in data["reservations"].items()]
    return Table(_("Reservations"), [_("What became of them"), _("Orders")], rows)


def _cancelled(data: Mapping[str, Any]) -> Table:
    language = get_language() or "id"
    rows = [
        (
            cancel_reason(row["reason"]).title.in_language(language) if row["reason"] in REASONS else _other(),
            row["orders"],
        )
        for row in data["cancellations"]["reasons"]
    ]
    note = _("Reasons with fewer than five orders are counted together, so that no person can be recognised.")
    return Table(_("Cancelled orders"), [_("Reason"), _("Orders")], rows, note, _bars([(r[0], r[1:]) for r in rows]))


def _other() -> str:
    return _("Other reasons")


def _appeals(data: Mapping[str, Any]) -> Table:
    appeals = data["cancellations"]["appeals"]
    names = {"open": _("not decided yet"), "upheld": _("the cancellation stands"), OTHER: _("fewer than five each")}
    names |= {"overturned": _("the buyer was right")}
    rows = [(names.get(row["outcome"], row["outcome"]), row["orders"]) for row in appeals["outcomes"]]
    return Table(_("Appeals"), [_("Outcome"), _("Orders")], rows)


def _returned(data: Mapping[str, Any]) -> Table:
    returned = data["returned"]
    rows: list[tuple[Any, ...]] = [
        (move["name"], move["units"], move["states"].get("sold", 0)) for move in returned["moved"]
    ]
    if to_line := returned.get("to_line"):  # a report from before this rule does not have it
        rows.append((_("Back to the line during the sale"), to_line, "–"))
    if returned["restored"]:
        rows.append((_("Back to their buyers"), returned["restored"], "–"))
    if returned["units"]:
        rows.append((_("Still in the pool"), returned["resting"], "–"))
    note = _("Units that cancellations gave back: %(count)d.") % {"count": returned["units"]}
    if returned["came_in"]:
        came = _("Units here that earlier cancellations gave back: %(count)d.") % {"count": returned["came_in"]}
        note = f"{note} {came}"
        rows = rows or [(_("Still in the pool"), returned["resting"], "–")]
    bars = _bars([(row[0], (row[1], row[2] if isinstance(row[2], int) else 0)) for row in rows])
    head = [_("Where they went"), _("Units"), _("Sold there")]
    return Table(_("Units that came back"), head, rows, note, bars, head[1:])
