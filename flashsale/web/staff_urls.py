"""The pages of django-allauth that staff need, with our guards. All others, such as sign-up, have no address."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from allauth.account.internal.stagekit import unstash_login
from allauth.account.views import account_inactive
from allauth.mfa.base.views import authenticate
from allauth.mfa.base.views import index as devices
from allauth.mfa.recovery_codes.views import generate_recovery_codes, view_recovery_codes
from allauth.mfa.totp.views import activate_totp, deactivate_totp
from allauth.mfa.webauthn.views import add_webauthn, remove_webauthn
from allauth.socialaccount.providers.openid_connect import views as oidc
from allauth.socialaccount.views import connections, login_cancelled, login_error
from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.cache import add_never_cache_headers
from django.views.decorators.debug import sensitive_post_parameters

from flashsale.life import staff_session
from flashsale.rules.outcomes import Refused
from flashsale.web import limits
from flashsale.web.login import enforce_limits, try_later

View = Callable[..., HttpResponse]


def _page(view: View) -> View:
    """The view with what the admin's templates need, never stored by a browser."""

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if isinstance(response, TemplateResponse):
            response.context_data = {**admin.site.each_context(request), **(response.context_data or {})}
        add_never_cache_headers(response)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            # HTTP asks 401 to name a way to log in by a header. The page itself says what has happened.
            response.status_code = HTTPStatus.OK
        return response

    return shown


def _own(view: View) -> View:
    """A page about the user's own devices. The first device needs a log-in, later changes need one of the devices."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not staff_session.may_manage_devices(request):
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return _page(guarded)


def _second_step(request: HttpRequest) -> HttpResponse:
    """The second step of a log-in, with the limits of the first one."""
    if request.method == "POST":
        pending = unstash_login(request, peek=True)
        account = f"second {pending.user.pk}" if pending is not None and pending.user is not None else "second"
        try:
            enforce_limits(request, account)
            limits.enforce(request, limits.SECOND_FACTOR, account)
        except Refused as refused:
            return try_later(request, refused)
    return authenticate(request)


def _identity_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Begins a log-in by the identity provider, or links it to the account of the person who is logged in.

    The browser goes there from a page of ours: `form-action 'self'` stops a form that is redirected to another site.
    """
    process = request.GET.get("process", "login")
    if process == "connect":
        if not staff_session.may_enter(request):
            return redirect_to_login(request.get_full_path())
        staff_session.demand_fresh_proof(request)
    elif process != "login":
        return HttpResponse(status=400)
    response = oidc.login(request, provider_id)
    if not isinstance(response, HttpResponseRedirect):
        return response
    going = TemplateResponse(request, "socialaccount/going.html", {"url": response.url})
    going["Refresh"] = f"0; url={response.url}"
    return going


urlpatterns: list[URLPattern] = [
    path("inactive/", _page(account_inactive), name="account_inactive"),
    path("second-step/", sensitive_post_parameters()(_page(_second_step)), name="mfa_authenticate"),
    path("devices/", _own(devices), name="mfa_index"),
    path("devices/list/", _own(devices), name="mfa_list_webauthn"),
    path("devices/app/add/", _own(activate_totp), name="mfa_activate_totp"),
    path("devices/app/remove/", _own(deactivate_totp), name="mfa_deactivate_totp"),
    path("devices/passkey/add/", _own(add_webauthn), name="mfa_add_webauthn"),
    path("devices/passkey/<int:pk>/remove/", _own(remove_webauthn), name="mfa_remove_webauthn"),
    path("devices/codes/", _own(view_recovery_codes), name="mfa_view_recovery_codes"),
    path("devices/codes/new/", _own(generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path("identity/", _own(connections), name="socialaccount_connections"),
    path("identity/cancelled/", _page(login_cancelled), name="socialaccount_login_cancelled"),
    path("identity/error/", _page(login_error), name="socialaccount_login_error"),
    path("identity/<str:provider_id>/login/", _page(_identity_provider), name="openid_connect_login"),
    path("identity/<str:provider_id>/login/return/", _page(oidc.callback), name="openid_connect_callback"),
]
