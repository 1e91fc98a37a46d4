"""The URLs of the Django side. The hot door answers its own URLs before Django (config/asgi.py)."""

from django.contrib import admin
from django.urls import include, path

from flashsale.admin.manual import alarms_page, manual_page
from flashsale.web import errors
from flashsale.web.login import login

urlpatterns = [
    path("admin/login/", login, name="account_login"),
    path("admin/account/", include("flashsale.web.staff_urls")),
    path("admin/manual/", admin.site.admin_view(manual_page), name="admin_manual"),
    path("admin/manual/alarms/", admin.site.admin_view(alarms_page), name="admin_alarms"),
    path("admin/", admin.site.urls),
    path("", include("flashsale.web.urls")),
]

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
