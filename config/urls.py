"""The URLs of the Django side. The hot door answers its own URLs before Django (config/asgi.py)."""

from django.contrib import admin
from django.urls import include, path

from flashsale.web import errors
from flashsale.web.login import login

urlpatterns = [
    path("admin/login/", login, name="account_login"),
    path("admin/account/", include("flashsale.web.staff_urls")),
    path("admin/", admin.site.urls),
    path("", include("flashsale.web.urls")),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
