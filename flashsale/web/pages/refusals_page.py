"""The catalogue of refusals: every code of the API, its meaning, and what a caller does then."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.cache import cache_control
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from flashsale.web import problems
from flashsale.web.advice import advice
from flashsale.web.pages.sale_page import page_context

FRESH_S = 300


@gzip_page
@cache_control(private=True, max_age=FRESH_S)
@vary_on_cookie
@vary_on_headers("Accept-Language")
@require_safe
def refusals(request: HttpRequest) -> HttpResponse:
    """Shows the codes in the order of their precedence."""
    language = (get_language() or "id")[:2]
    rows = [
        (code.value, problems.status_of(code), problems.title(code, language), advice(code, language))
        for code in problems.REFUSALS
    ]
    return render(request, "flashsale/refusals.html", page_context(request) | {"rows": rows})
