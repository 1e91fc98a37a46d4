"""The admin site: who may enter, and the first step of the log-in.

It is not in `flashsale/admin`: Django makes the site while it imports that room, and would make it twice.
"""

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from flashsale.life import staff_session


class StaffLoginView(LoginView):
    """Django's log-in page. A right password begins the log-in; django-allauth asks for the second factor."""

    template_name = "admin/login.html"
    authentication_form = AdminAuthenticationForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Logs in, or leads to the second step. Until then the session knows no user."""
        login = Login(user=form.get_user(), redirect_url=self.get_success_url())
        response: HttpResponse = perform_password_login(self.request, {}, login)
        return response


class StaffSite(AdminSite):
    """Django's admin, closed to sessions that lack the second factor, or that were ended."""

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """As Django's, without the pages of django-allauth: they show and change secrets and links without guards."""
        models = [model_or_iterable] if isinstance(model_or_iterable, type) else list(model_or_iterable)
        ours = [model for model in models if not model.__module__.startswith("allauth.")]
        super().register(ours, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """Asked before each page of the admin."""
        return staff_session.may_enter(request)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """As Django's, with the name of the identity provider, if there is one."""
        name = settings.FLASHSALE_OIDC["name"] if settings.FLASHSALE_OIDC["url"] else ""
        return {**super().each_context(request), "identity_provider": name}

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The log-in page; the first page of the admin for people who have logged in."""
        index = reverse("admin:index", current_app=self.name)
        if request.method == "GET" and self.has_permission(request):
            return HttpResponseRedirect(index)
        context = {
            **self.each_context(request),
            "title": _("Log in"),
            "subtitle": None,
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
            **(extra_context or {}),
        }
        if REDIRECT_FIELD_NAME not in request.GET and REDIRECT_FIELD_NAME not in request.POST:
            context[REDIRECT_FIELD_NAME] = index
        request.current_app = self.name
        response: Any = StaffLoginView.as_view(extra_context=context)(request)
        return response
