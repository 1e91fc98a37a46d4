"""Celery and the beat table.

Nothing in a sale depends on it: a message is a hint that a row may be due, the row is the work. So a hint that nobody
took in time expires, and one lost or delivered twice does no harm.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("flashsale")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# name in the table: (task, every so many seconds, why)
BEAT = {
    "tend running sales": ("flashsale.tasks.tend", 2.0),  # open, freeze, call, lapse, expire, roll over, close
    "send due notices": ("flashsale.tasks.send_notices", 5.0),
    "sweep what was left": ("flashsale.tasks.sweep", 5.0),  # hints that were lost, rows whose retention is over
    "erase what is over": ("flashsale.tasks.erase_due", 3600.0),  # the people of campaigns that ended months ago
}

app.conf.beat_schedule = {
    name: {"task": task, "schedule": every, "options": {"expires": every}} for name, (task, every) in BEAT.items()
}
