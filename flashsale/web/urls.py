"""URLs: health checks, the REST API, the pages."""

from django.urls import URLPattern, URLResolver, include, path

from flashsale.web import health, metrics_page, rehearsals

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", metrics_page.page),
    path("rehearsals/<str:step>", rehearsals.serve),
    path("", include("flashsale.web.api.urls")),
    path("", include("flashsale.web.pages.urls")),
]
