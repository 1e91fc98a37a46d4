"""The fairness report as a page: a sentence, four plots, and all figures in tables; the plots also as CSV."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, sqrt
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
from flashsale.rules.states import ReservationState
from flashsale.web import problems
from flashsale.web.api.catalogue import published_sale
from flashsale.web.formatting import format_time
from flashsale.web.pages.fairness_sentences import grouped, headline, kind_of_draw, verdicts
from flashsale.web.pages.sale_page import page_context

# Units of the SVG drawings; CSS scales them to the width of the page.
WIDTH, HEIGHT, BAR = 320, 120, 10


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report, with optional drawings.

    `bars` has for each row its label and the bars (CSS class, width). `curves` has the SVG polylines (CSS class,
    points); `curve_ends` are the labels of their two ends, and `top` that of their highest value. `key` names the
    classes of bars or curves. `data` is the name of the CSV file with the same figures.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""
    bars: Sequence[tuple[str, Sequence[tuple[str, int]]]] = ()
    key: Sequence[tuple[str, str]] = ()
    curves: Sequence[tuple[str, str]] = ()
    curve_ends: tuple[str, str] = ("", "")
    top: str = ""
    data: str = ""


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
    context = {
        "sale": sale,
        "report": data,
        "times": times,
        "headline": headline(data),
        "kind": kind_of_draw(sale),
        "is_drand": sale.waits_for_drand,
        "verdicts": verdicts(data),
        "story": _story(data),
        "tables": _tables(data),
    }
    return render(request, "flashsale/fairness.html", context | page_context(request))


def _story(data: Mapping[str, Any]) -> list[Table]:
    """The plots: how the sale went, who got units, where returned units went, and refusals."""
    made = [_over_time(data), _channels(data), entering_table(data), _cancelled(data), _returned(data), _refused(data)]
    return [table for table in made if table.rows]


def _tables(data: Mapping[str, Any]) -> list[Table]:
    made = [_people(data), *_calls(data), units_table(data), _concentration(data)]
    return [table for table in [*made, _endings(data), _appeals(data)] if table.rows]


def _over_time(data: Mapping[str, Any]) -> Table:
    """Called, reserved and bought, as step curves on one scale."""
    told = data["over_time"]
    title = _("How the sale went")
    head = [_("Second"), _("People called"), _("Units reserved"), _("Units paid")]
    if not told["at_s"]:
        return Table(title, head, [])
    names = ("called", "reserved", "bought")
    top, last = max(max(told[name]) for name in names), told["at_s"][-1]
    kinds = ("broad", "dashed", "strong")
    curves = [
        (kind, _steps([(0, 0), *zip(told["at_s"], told[name], strict=True)], last, max(1, top)))
        for kind, name in zip(kinds, names, strict=True)
    ]
    rows = list(zip(told["at_s"], *(told[name] for name in names), strict=True))
    shown = rows[:: max(1, len(rows) // 8)]
    note = _(
        "Sums since the opening, over all lines. Reserved: only units that were paid afterwards. In a fair sale, no "
        "unit is reserved before people are called."
    )
    return Table(
        title, head, list(dict.fromkeys([*shown, rows[-1]])), note, key=list(zip(kinds, head[1:], strict=True)),
        curves=curves, curve_ends=(_("0 s"), _("%(seconds)d s") % {"seconds": last}),
        top=_("%(count)s people or units") % {"count": grouped(top)}, data="over-time",
    )  # fmt: skip


def _steps(points: Sequence[tuple[int, int]], last: int, top: int) -> str:
    """A polyline of steps, because a sum stays the same between two moments."""
    at = [(round(s / last * WIDTH, 1), round(HEIGHT - n / top * HEIGHT, 1)) for s, n in points]
    return " ".join(f"{x},{before} {x},{y}" for (_x, before), (x, y) in zip([at[0], *at], at, strict=False))


def entering_table(data: Mapping[str, Any]) -> Table:
    """Units by when their buyers entered: equal bars mean that coming earlier was no advantage."""
    quarters = [row for row in data["by_entering"] if row["part"] != "later"]
    people, bought = (sum(row[name] for row in quarters) for name in ("people", "bought"))
    # If buyers may have two units, the quarters differ more by chance than this calculation says.
    comparable = data["headline"] is not None and data["headline"]["most"] == 1
    rows = [
        (
            _("Quarter %(part)s") % {"part": row["part"]} if row in quarters else _("After the draw"),
            row["people"],
            row["bought"],
            _by_chance(row["people"], people, bought) if comparable and row in quarters else None,
            _for_100(row),
        )
        for row in data["by_entering"]
    ]
    bars = _bars([(row[0], row[4:]) for row in rows])
    if quarters:
        whole = {"people": people, "bought": bought}
        rows.append((_("All quarters"), people, bought, None, _for_100(whole)))
    note = _(
        "People who came before the draw are in four quarters by the order in which they entered. In a fair draw the "
        "quarters differ by chance alone: in about 19 of 20 draws, the units of a quarter are in the range of the "
        "column “By chance”. People who came after the draw have numbers behind all of them."
    )
    head = [_("Entered"), _("People"), _("Units bought"), _("By chance"), _("Units for 100 people")]
    return Table(_("Units by the time of entering"), head, rows, note, bars, data="entering")


def _for_100(row: Mapping[str, int]) -> int:
    return round(100 * row["bought"] / row["people"])


def _by_chance(part: int, people: int, bought: int) -> str:
    """The units that a part of the people gets in about 19 of 20 draws: two standard deviations around its share."""
    expected = part * bought / people
    deviation = sqrt(expected * max(0, 1 - bought / people) * (people - part) / max(1, people - 1))
    least, most = max(0, floor(expected - 2 * deviation)), min(part, ceil(expected + 2 * deviation))
    return f"{grouped(least)}–{grouped(most)}"


def _bars(rows: Sequence[tuple[str, Sequence[int]]]) -> list[tuple[str, list[tuple[str, int]]]]:
    largest = max((number for _label, numbers in rows for number in numbers), default=0)
    kinds = ("first", "second")
    return [
        (label, [(kind, round(number / largest * WIDTH)) for kind, number in zip(kinds, numbers, strict=False)])
        for label, numbers in rows
        if largest
    ]


def _two(names: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(("first", "second"), names, strict=True))


def _channels(data: Mapping[str, Any]) -> Table:
    rows = [(c["name"], c["bought"], c["kept"]) for c in data["channels"]]
    note = _("Bought: units that were paid. Left: those of them whose orders were not cancelled.")
    head = [_("Channel"), _("Bought"), _("Left")]
    bars = _bars([(row[0], row[1:]) for row in rows])
    return Table(_("Units by channel"), head, rows, note, bars, _two(head[1:]), data="channels")


def _people(data: Mapping[str, Any]) -> Table:
    rows = [
        (line["name"], line["entered"], line["cohort"], line["called"], line["no_shows"])
        for line in data["lines"]
        if line["by_our_line"]
    ]
    note = _("Drawn: people who took part in the draw. Did not come: called, and neither reserved nor left the line.")
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
        title = _("How calling went on: %(line)s") % {"line": line["name"]}
        shown = calls[1 :: max(1, len(calls) // 8)]
        rows = [(s, n) for s, n in dict.fromkeys([*shown, calls[-1]])]
        ends = (_("0 s"), _("%(seconds)d s") % {"seconds": seconds})
        head = [_("Seconds after the opening"), _("Called up to number")]
        steps = _steps(calls, seconds, number)
        top = _("number %(number)s") % {"number": grouped(number)}
        tables.append(Table(title, head, rows, curves=[("strong", steps)], curve_ends=ends, top=top))
    return tables


def units_table(data: Mapping[str, Any]) -> Table:
    columns = ("new", "moved_in", "moved_out", "sold", "free", "held", "returned")
    direct = _("%(line)s (sold by a partner, without our line)")
    rows = [
        (
            line["name"] if line["by_our_line"] else direct % {"line": line["name"]},
            *(line["units"][column] for column in columns),
        )
        for line in data["lines"]
    ]
    head = [_("Line"), _("New"), _("Moved in"), _("Moved out"), _("Sold"), _("Unsold"), _("Held"), _("Came back")]
    note = _(
        "Every unit is counted once: new plus moved in, minus moved out, equals the sum of sold, unsold, held and came "
        "back. Held: reserved, and not paid yet. Came back: of cancelled orders, and not on sale again yet."
    )
    return Table(_("Units"), head, rows, note)


def _refused(data: Mapping[str, Any]) -> Table:
    verbs = {
        "enter": _("entering"), "reserve": _("reserving"), "leave": _("leaving"), "look": _("looking"),
        "wait": _("waiting for a call"), "receipt": _("getting the receipt"),
        "enter-bundle": _("entering, many people at once"), "look-bundle": _("looking, many people at once"),
    }  # fmt: skip
    # No row is left out: the CSV file has them all.
    rows = [
        (
            f"{verbs.get(row['verb'], row['verb'])}: {problems.title_of_value(row['reason'], get_language() or 'id')}",
            row["times"],
        )
        for row in data["refused"]
    ]
    note = _("Counted per try, not per person. The reasons are in the words that the shopper read.")
    bars = _bars([(row[0], row[1:]) for row in rows[:8]])
    return Table(_("Refused at the door"), [_("When and why"), _("Tries")], rows, note, bars, data="refused")


def _concentration(data: Mapping[str, Any]) -> Table:
    several = {row["axis"]: row for row in data["more_than_one"]}
    rows = [
        (
            str(KIND_LABELS.get(row["axis"], row["axis"])),
            _several(several.get(row["axis"])),
            *(row[when][figure] for when in ("bought", "kept") for figure in ("holders", "largest")),
        )
        for row in data["concentration"]
        if row["bought"]["holders"]
    ]
    limited = [str(KIND_LABELS.get(row["axis"], row["axis"])) for row in data["concentration"] if row["limited"]]
    note = _(
        "A holder is a phone, an address and so on that bought units. The limit per person was %(limit)s, counted by: "
        "%(axes)s. The other rows have no limit, because families share addresses and devices; the review looks at "
        "them. With more than one: the part of the remaining units that belongs to holders of more than one unit. A "
        "dash: there are only one to four such holders, and a reader might recognise them. Largest: the most units of "
        "one holder. Left: after cancellations."
    ) % {"limit": grouped(data["limit"]), "axes": ", ".join(limited) or "–"}
    head = [_("By"), _("With more than one"), _("Holders"), _("Largest"), _("Holders left"), _("Largest left")]
    bars = _bars([(row[0], (row[3], row[5])) for row in rows])
    return Table(_("Who got how many"), head, rows, note, bars, _two((head[3], head[5])))


def _several(row: Mapping[str, Any] | None) -> str | None:
    """The part of the units that belongs to holders of several units. None if not counted, or for one to four."""
    if row is None or row["units"] is None or not row["of"]:
        return None
    return f"{number_format(100 * row['units'] / row['of'], 1)} %"


def _endings(data: Mapping[str, Any]) -> Table:
    names = {
        ReservationState.HELD: _("Reserved, not paid yet"),
        ReservationState.CONFIRMED: _("Paid, and not cancelled"),
        ReservationState.EXPIRED: _("Expired: it was not paid in time"),
        ReservationState.RELEASED: _("Given back before it was paid"),
        ReservationState.CANCELLED: _("Paid, and cancelled afterwards"),
    }
    rows = [(names[ReservationState(state)], count) for state, count in data["reservations"].items()]
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
        rows.append((_("Not on sale again yet"), returned["resting"], "–"))
    note = _("Units that cancellations gave back: %(count)d.") % {"count": returned["units"]}
    if returned["came_in"]:
        came = _("Units here that earlier cancellations gave back: %(count)d.") % {"count": returned["came_in"]}
        note = f"{note} {came}"
        rows = rows or [(_("Not on sale again yet"), returned["resting"], "–")]
    bars = _bars([(row[0], (row[1], row[2] if isinstance(row[2], int) else 0)) for row in rows])
    head = [_("Where they went"), _("Units"), _("Sold there")]
    return Table(_("Units that came back"), head, rows, note, bars, _two(head[1:]), data="returned")
