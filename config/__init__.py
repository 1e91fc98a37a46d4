"""How the project is put together: settings, the beat table, addresses and entry points."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
