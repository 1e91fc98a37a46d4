"""URLs: health checks, the calendar of sales, the REST API, the pages."""

from django.urls import URLPattern, URLResolver, include, path, re_path

from flashsale.web import calendar, health, metrics_page, rehearsals

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", health.livez),
    path("readyz", health.readyz),
    re_path(r"^calendar/(?P<secret>[A-Za-z0-9_-]{43})\.ics$", calendar.sales, name="calendar"),
    path("metrics", metrics_page.page),
    path("rehearsals/<str:step>", rehearsals.serve),
    path("", include("flashsale.web.api.urls")),
    path("", include("flashsale.web.pages.urls")),
]
