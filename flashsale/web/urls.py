"""Addresses of pages, of the REST API, and of what engines ask."""

from django.urls import URLPattern, URLResolver, include, path

from flashsale.web import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("", include("flashsale.web.api.urls")),
    path("", include("flashsale.web.pages.urls")),
]
