"""The page that shows, before a sale, the rules by which its orders are reviewed afterwards."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from flashsale.life.rule_set_text import describe_rules
from flashsale.models import Sale
from flashsale.rules.states import SaleState
from flashsale.web.pages.sale_page import page_context

FRESH_S = 300


@gzip_page
@cache_control(private=True, max_age=FRESH_S)
@vary_on_cookie
@vary_on_headers("Accept-Language")
@require_safe
def rules(request: HttpRequest, code: str) -> HttpResponse:
    """Shows the rule set that the sale was published with, as sentences and tables."""
    sale = Sale.objects.exclude(state=SaleState.DRAFT).select_related("rules", "campaign").filter(code=code).first()
    if sale is None or sale.rules is None:
        raise Http404
    rule_set = sale.rules.read()
    context = {"sale": sale, "published": sale.rules, "rule_set": rule_set, "parts": describe_rules(rule_set)}
    return render(request, "flashsale/rules.html", context | page_context(request))
