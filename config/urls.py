"""Addresses of the Django side; the hot door stands before it (config/asgi.py)."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("flashsale.web.urls")),
]
