"""The admin's log-in page, with a rate limit."""

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.debug import sensitive_post_parameters

from flashsale.rules.outcomes import Refused
from flashsale.web import limits, problems
from flashsale.web.client_ip import address_of, client_network, customer_network


@sensitive_post_parameters()
def login(request: HttpRequest) -> HttpResponse:
    """Django's log-in view. Above the limit it answers 429 and does not check the password."""
    if request.method == "POST":
        try:
            address = address_of(request)
            limits.enforce(request, limits.LOGIN_ADDRESS)
            limits.enforce(request, limits.LOGIN_CUSTOMER, customer_network(address))
            limits.enforce(request, limits.LOGIN_ACCOUNT, f"{_account(request)} {client_network(address)}")
        except Refused as refused:
            return _try_later(request, refused)
    return admin.site.login(request)


def _account(request: HttpRequest) -> str:
    """The user name as the log-in form reads it: all spellings that log in to one account count for one account."""
    return str(AdminAuthenticationForm().fields["username"].to_python(request.POST.get("username", ""))).casefold()


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
