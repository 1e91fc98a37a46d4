"""The product's URLs, plus the demo's outbox page."""

from django.urls import include, path

from config.urls import handler400, handler403, handler404, handler500
from simulation import outbox_page

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    path("outbox", outbox_page.outbox, name="outbox"),
    path("", include("config.urls")),
]
