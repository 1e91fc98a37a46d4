"""The Django project: settings, URLs, Celery and its beat table, and the entry points for servers."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
