"""Addresses of pages and of the REST API."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("flashsale.web.api.urls")),
    path("", include("flashsale.web.page_urls")),
]
