"""Addresses of the Django side; the hot door stands before it (config/asgi.py)."""

from django.contrib import admin
from django.urls import include, path

from flashsale.web.login import login

urlpatterns = [
    path("admin/login/", login),
    path("admin/", admin.site.urls),
    path("", include("flashsale.web.urls")),
]
