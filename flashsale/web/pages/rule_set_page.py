"""The page that says, before a sale, by which rules its orders are reviewed afterwards."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from flashsale.life.rule_set_text import describe_rules
from flashsale.models import Sale
from flashsale.rules.states import SaleState
from flashsale.web.pages.sale_page import tongues

FRESH_S = 300


@gzip_page
@cache_control(private=True, max_age=FRESH_S)
@vary_on_cookie
@vary_on_headers("Accept-Language")
@require_safe
def rules(request: HttpRequest, code: str) -> HttpResponse:
    """The rule set that a sale was published with, in words."""
    sale = Sale.objects.exclude(state=SaleState.DRAFT).select_related("rules", "campaign").filter(code=code).first()
    if sale is None or sale.rules is None:
        raise Http404
    known = sale.rules.read()
    shown = {"sale": sale, "published": sale.rules, "known": known, "parts": describe_rules(known)}
    return render(request, "flashsale/rules.html", shown | tongues(request))
