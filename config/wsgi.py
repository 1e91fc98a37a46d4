"""Entry point for WSGI servers: everything but the hot door."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Whoever serves never needs a statement that takes so long; migrations, audits and Celery's work have no such end.
os.environ.setdefault("FLASHSALE_DB_STATEMENT_S", "30")

application = get_wsgi_application()
