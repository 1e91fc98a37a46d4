"""The entry point for ASGI servers: the hot door, and Django behind it."""

import os
from contextlib import suppress

from django.conf import settings
from django.core.asgi import get_asgi_application

from config import telemetry
from config.production import refuse_unsafe_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Web processes end statements after 30 s. Migrations, audits and Celery's tasks may take longer, so they have no limit.
os.environ.setdefault("FLASHSALE_DB_STATEMENT_S", "30")

# The threads of this process wake one another several times a request. By default, Linux lets a woken thread take the
# core from the running thread, which is often the one that woke it. In the class SCHED_BATCH, the woken thread waits
# for its turn (ADR 17). Threads that start later inherit the class.
if hasattr(os, "SCHED_BATCH"):
    with suppress(OSError):  # a sandbox may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

refuse_unsafe_start(settings.FLASHSALE_REFUSALS)
django = get_asgi_application()

from flashsale.web.doors import with_hot_door  # noqa: E402 - it imports models, which exist only after Django's set-up

telemetry.start(enabled=settings.FLASHSALE_OTEL)
application = telemetry.traced(with_hot_door(django), enabled=settings.FLASHSALE_OTEL)
