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
    "go on with reviews": ("flashsale.tasks.sweep_reviews", 5.0),  # and carry out what may not be undone any more
    "settle late payments": ("flashsale.tasks.sweep_payments", 5.0),  # of holds that ended meanwhile
    "give limits back": ("flashsale.tasks.sweep_limits", 5.0),  # of cancellations that are final
    "refund what is due": ("flashsale.tasks.sweep_refunds", 5.0),  # once, and only when nobody may appeal
    "reallocate what is planned": ("flashsale.tasks.sweep_units", 5.0),  # at the plan's time
    "forget what was kept": ("flashsale.tasks.sweep_contacts", 60.0),  # contacts and calls whose retention is over
    "erase what is over": ("flashsale.tasks.erase_due", 3600.0),  # the people of campaigns that ended months ago
}

app.conf.beat_schedule = {
    name: {"task": task, "schedule": every, "options": {"expires": every}} for name, (task, every) in BEAT.items()
}
