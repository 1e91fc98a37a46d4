"""Fresh proofs: before some pages and actions, staff give the password or a second factor again.

A view raises ReauthenticationRequired (`life/staff_session.py`). The answer is a page that asks, and that carries all
values of the request as hidden fields. It is sent to the same address with the proof. If the proof is right, the
request goes on as it was typed. So nothing is lost, nothing is stored in between, and the proof cannot lead elsewhere.
"""

from collections.abc import Callable
from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.base.forms import ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import ReauthenticateWebAuthnForm
from allauth.mfa.webauthn.internal import auth
from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from flashsale.life import staff_session
from flashsale.rules.outcomes import Refused
from flashsale.web import limits
from flashsale.web.login import enforce_limits, try_later

# Fields of the page. No form of the admin has such names.
PREFIX = "_proof"
METHOD, PASSWORD, CODE, CREDENTIAL = f"{PREFIX}_method", f"{PREFIX}_password", f"{PREFIX}_code", f"{PREFIX}_credential"
ADMIN = "/admin/"


class FreshProofMiddleware:
    """Asks for a proof when a view demands one, and checks the proof before the view runs again."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Changes nothing by itself."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_args: Any) -> HttpResponse | None:
        """Checks the proof in a request. Runs after Django's check of the CSRF token."""
        if request.method != "POST" or not request.path_info.startswith(ADMIN) or METHOD not in request.POST:
            return None
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        try:
            enforce_limits(request, f"proof {request.user.pk}")
            limits.enforce(request, limits.SECOND_FACTOR, f"proof {request.user.pk}")
        except Refused as refused:
            return try_later(request, refused)
        if not _is_right(request):
            return ask(request, wrong=True)
        if request.POST[METHOD] != "POST":
            return HttpResponseRedirect(request.get_full_path())
        # Django's own way to replace what was sent.
        kept = request.POST.copy()
        for name in [name for name in kept if name.startswith(PREFIX)]:
            del kept[name]
        request.POST = kept  # type: ignore[assignment]
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page that asks, in place of the view's answer."""
        if not isinstance(exception, ReauthenticationRequired):
            return None
        return ask(request) if request.user.is_authenticated else redirect_to_login(request.get_full_path())


def _is_right(request: HttpRequest) -> bool:
    """Whether the proof is right. If it is, the session keeps its time."""
    user, sent = request.user, request.POST
    if sent.get(PASSWORD):
        right = user.check_password(sent[PASSWORD])
        if right:
            record_authentication(request, user, "password", reauthenticated=True)
        return right
    form: Any = None
    if sent.get(CODE):
        form = ReauthenticateForm(user=user, data={"code": sent[CODE]})
    elif sent.get(CREDENTIAL):
        form = ReauthenticateWebAuthnForm(user=user, data={"credential": sent[CREDENTIAL]})
    if form is None or not form.is_valid():
        return False
    form.save()
    return True


def ask(request: Any, *, wrong: bool = False) -> HttpResponse:
    """The page that asks for a proof. It has the values of the request, so that they are sent again with the proof."""
    devices = set(Authenticator.objects.filter(user_id=request.user.pk).values_list("type", flat=True))
    by_code = bool(devices & {Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES})
    # A file cannot be kept in a page. Its form is shown again after the proof.
    method = request.POST.get(METHOD) or ("GET" if request.FILES else request.method)
    kept = [(name, value) for name in request.POST for value in request.POST.getlist(name) if _is_kept(name)]
    context = {
        **admin.site.each_context(request),
        "title": _("Is it still you?"),
        "method": method,
        "kept": kept if method == "POST" else [],
        "lost_file": bool(request.FILES),
        "wrong": wrong,
        "by_password": request.user.has_usable_password(),
        "by_code": by_code,
        "minutes": max(1, staff_session.proof_s() // 60),
        "js_data": {"request_options": auth.begin_authentication(request.user)}
        if Authenticator.Type.WEBAUTHN in devices
        else None,
    }
    response = TemplateResponse(request, "flashsale/fresh_proof.html", context, status=403)
    add_never_cache_headers(response)
    return response


def _is_kept(name: str) -> bool:
    return not name.startswith(PREFIX) and name != "csrfmiddlewaretoken"
