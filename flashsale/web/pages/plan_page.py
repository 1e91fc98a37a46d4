"""The page that shows how a sale's units are shared: its lines, and the plans that bring returned units."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.cache import cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from flashsale.models import Allocation, Reallocation, Sale
from flashsale.rules.states import SaleState
from flashsale.web.formatting import format_time
from flashsale.web.pages.sale_page import page_context

FRESH_S = 60


@gzip_page
@cache_control(private=True, max_age=FRESH_S)
@vary_on_cookie
@vary_on_headers("Accept-Language")
@require_safe
def plan(request: HttpRequest, code: str) -> HttpResponse:
    """Shows which people come first and how many units are kept for appeals, as published."""
    sale = Sale.objects.exclude(state=SaleState.DRAFT).select_related("campaign").filter(code=code).first()
    if sale is None:
        raise Http404
    zone = sale.campaign.time_zone
    lines = sale.allocations.select_related("successor", "carries__sale").order_by("line_id")
    context = {
        "sale": sale,
        "tranches": [_tranche(line, sale, zone) for line in lines],
        "plans": [_plan(row, zone) for row in _plans(sale)],
    }
    return render(request, "flashsale/plan.html", context | page_context(request))


def _plans(sale: Sale) -> "QuerySet[Reallocation]":
    return Reallocation.objects.filter(target__sale=sale).select_related("source", "target").order_by("pk")


def _tranche(line: Allocation, sale: Sale, zone: str) -> dict[str, Any]:
    if line.listed_only:
        people = gettext("people on its list; those who lost an order through no fault of theirs are put on it")
    elif line.carries:
        people = gettext("people of the line %(line)s on %(sale)s, at their old numbers") % {
            "line": line.carries.name or line.carries.code,
            "sale": line.carries.sale.name,
        }
    else:
        people = gettext("everybody")
    return {
        "name": line.name or line.code,
        "people": people,
        "opens": format_time(line.opens_at or sale.opens_at, zone),
        "then": (line.successor.name or line.successor.code) if line.successor else "",
        "rolls": format_time(line.rolls_over_at, zone) if line.rolls_over_at else "",
    }


def _plan(row: Reallocation, zone: str) -> dict[str, Any]:
    return {
        "source": row.source.name,
        "line": row.target.name or row.target.code,
        "units": row.units,
        "reserve": row.reserve,
        "due": format_time(row.due_at, zone) if row.due_at else "",
    }
