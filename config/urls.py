"""The URLs of the Django side. The hot door answers its own URLs before Django (config/asgi.py)."""

from django.contrib import admin
from django.urls import include, path

from flashsale.web.login import login

urlpatterns = [
    path("admin/login/", login),
    path("admin/", admin.site.urls),
    path("", include("flashsale.web.urls")),
]
