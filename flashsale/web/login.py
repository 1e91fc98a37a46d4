"""The admin's log-in page, with a rate limit."""

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from flashsale.life import staff_session
from flashsale.rules.outcomes import Refused
from flashsale.web import limits, problems
from flashsale.web.client_ip import address_of, client_network, customer_network


@sensitive_post_parameters()
def login(request: HttpRequest) -> HttpResponse:
    """Django's log-in view. Above the limit it answers 429 and does not check the password.

    A member of staff who still needs a first device goes to the page for it. A session without the second factor of a
    person who has a device ends here, because only a new log-in asks for it.
    """
    if request.method == "POST":
        try:
            enforce_limits(request, _account(request))
        except Refused as refused:
            return try_later(request, refused)
    elif request.user.is_authenticated and request.user.is_staff and not staff_session.may_enter(request):
        if staff_session.may_manage_devices(request):
            return HttpResponseRedirect(reverse("mfa_index"))
        by_identity = staff_session.needs_identity(request)
        logout(request)
        if by_identity:
            text = _("The password alone does not open the admin. Log in with %(provider)s.")
            messages.warning(request, text % {"provider": settings.FLASHSALE_OIDC["name"]})
    return admin.site.login(request)


def enforce_limits(request: HttpRequest, account: str) -> None:
    """Counts one try to prove who somebody is. Refuses TOO_MANY_REQUESTS, or NOT_READY if Redis cannot count."""
    address = address_of(request)
    limits.enforce(request, limits.LOGIN_ADDRESS)
    limits.enforce(request, limits.LOGIN_CUSTOMER, customer_network(address))
    limits.enforce(request, limits.LOGIN_ACCOUNT, f"{account} {client_network(address)}")


def _account(request: HttpRequest) -> str:
    """The user name as the log-in form reads it: all spellings that log in to one account count for one account."""
    return str(AdminAuthenticationForm().fields["username"].to_python(request.POST.get("username", ""))).casefold()


def try_later(request: HttpRequest, refused: Refused) -> HttpResponse:
    """The page that says when the next try is possible."""
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
