"""Entry point for ASGI servers: the hot door, and Django behind it."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Whoever serves never needs a statement that takes so long; migrations, audits and Celery's work have no such end.
os.environ.setdefault("FLASHSALE_DB_STATEMENT_S", "30")

django = get_asgi_application()

from flashsale.web.doors import doors  # noqa: E402 - the doors know models, which exist only after Django's set-up

application = doors(django)
