"""The admin's log-in page, with a rate limit."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from flashsale.rules.outcomes import Refused
from flashsale.web import limits, problems
from flashsale.web.client_ip import address_of, client_network


def login(request: HttpRequest) -> HttpResponse:
    """Django's log-in view. Above the limit it answers 429 and does not check the password."""
    if request.method == "POST":
        try:
            limits.enforce(request, limits.LOGIN_ADDRESS)
            limits.enforce(request, limits.LOGIN_ACCOUNT, _account(request))
        except Refused as refused:
            return _try_later(request, refused)
    return admin.site.login(request)


def _account(request: HttpRequest) -> str:
    return f"{request.POST.get('username', '').strip().casefold()[:150]} {client_network(address_of(request))}"


def _try_later(request: HttpRequest, refused: Refused) -> HttpResponse:
    language = problems.language_of(request.headers.get("Accept-Language", ""))
    context = {
        **admin.site.each_context(request),
        "title": problems.title(refused.outcome, language),
        "wait_s": refused.retry_after_s,
    }
    return TemplateResponse(
        request,
        "flashsale/login_later.html",
        context,
        status=problems.status_of(refused.outcome),
        headers={"Retry-After": str(refused.retry_after_s)},
    )
