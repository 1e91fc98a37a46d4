"""The product's URLs, plus the demo's outbox page."""

from django.urls import include, path

from config.urls import handler400, handler403, handler404, handler500
from simulation import demo_bank, outbox_page

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    path("outbox", outbox_page.outbox, name="outbox"),
    path("outbox/payments/<str:reference>", demo_bank.decide, name="demo-bank"),
    path("", include("config.urls")),
]
