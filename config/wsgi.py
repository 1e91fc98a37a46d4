"""The entry point for WSGI servers: pages, REST API and admin, without the hot door."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from config import telemetry
from config.production import refuse_unsafe_start
from flashsale.gate import metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Web processes end statements after 30 s. Migrations, audits and Celery's tasks may take longer, so they have no limit.
os.environ.setdefault("FLASHSALE_DB_STATEMENT_S", "30")

refuse_unsafe_start(settings.FLASHSALE_REFUSALS)
application = get_wsgi_application()

from flashsale.life.measure_clock import keep_measuring  # noqa: E402 - it imports models, which exist only now

metrics.keep_sending()
keep_measuring()
telemetry.start(enabled=settings.FLASHSALE_OTEL)
