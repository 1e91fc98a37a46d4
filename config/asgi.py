"""Entry point for ASGI servers: the hot door, and Django behind it."""

import os
from contextlib import suppress

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Whoever serves never needs a statement that takes so long; migrations, audits and Celery's work have no such end.
os.environ.setdefault("FLASHSALE_DB_STATEMENT_S", "30")

# A door's threads wake one another several times a request. As Linux schedules them, whoever is woken takes the core
# from whoever runs, often the one that woke it; in this class it waits for its turn (ADR 17). Its threads inherit that.
if hasattr(os, "SCHED_BATCH"):
    with suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

django = get_asgi_application()

from flashsale.web.doors import with_hot_door  # noqa: E402 - it imports models, which exist only after Django's set-up

application = with_hot_door(django)
