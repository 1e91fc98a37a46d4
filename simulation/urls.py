"""The product's URLs, plus the demo's outbox page."""

from django.urls import include, path

from simulation import outbox_page

urlpatterns = [
    path("outbox", outbox_page.outbox, name="outbox"),
    path("", include("config.urls")),
]
