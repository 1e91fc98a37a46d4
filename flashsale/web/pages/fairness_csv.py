"""The figures of the plots of a fairness report as CSV files, with the same names of columns in every language."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from flashsale.life.fairness_report import FRESH, report
from flashsale.rules.csv_lines import csv_lines
from flashsale.rules.outcomes import Refused
from flashsale.web.api.catalogue import published_sale

Rows = list[Sequence[Any]]


@cache_control(private=True, max_age=int(FRESH.total_seconds()))
@require_safe
def figures(request: HttpRequest, code: str, name: str) -> HttpResponse:  # noqa: ARG001 - the framework's signature
    """The figures of a plot; 404 before the sale is over, and for a plot that does not exist."""
    if name not in FILES:
        raise Http404
    try:
        data = report(sale=published_sale(code))
    except Refused as refused:
        raise Http404 from refused
    headers = {"Content-Disposition": f'attachment; filename="{code}-{name}.csv"'}
    return HttpResponse("".join(csv_lines(FILES[name](data))), content_type="text/csv; charset=utf-8", headers=headers)


def _over_time(data: Mapping[str, Any]) -> Rows:
    columns = ("at_s", "called", "reserved", "bought")
    return [columns, *zip(*(data["over_time"][column] for column in columns), strict=True)]


def _columns_of(key: str, *columns: str) -> Callable[[Mapping[str, Any]], Rows]:
    return lambda data: [columns, *([row[column] for column in columns] for row in data[key])]


def _returned(data: Mapping[str, Any]) -> Rows:
    told = data["returned"]
    moved = [(move["sale"], move["units"], move["states"].get("sold", 0)) for move in told["moved"]]
    rest = [("(line)", told.get("to_line", 0)), ("(buyers)", told["restored"]), ("(pool)", told["resting"])]
    return [("to", "units", "sold"), *moved, *((to, units, None) for to, units in rest)]


FILES: dict[str, Callable[[Mapping[str, Any]], Rows]] = {
    "over-time": _over_time,
    "channels": _columns_of("channels", "channel", "bought", "kept"),
    "entering": _columns_of("by_entering", "part", "people", "bought"),
    "returned": _returned,
    "refused": _columns_of("refused", "verb", "reason", "times"),
}
