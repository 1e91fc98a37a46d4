"""Celery and the beat table.

A sale does not depend on Celery. A message is a hint that a row may be due, and the row is the work. So a message that
no worker took in time expires, and a message that is lost or delivered twice does no harm.
"""

import os
import sys
import time
from typing import Any

from celery import Celery
from celery.signals import after_task_publish, beat_init, celeryd_init, task_postrun, task_prerun, worker_process_init
from django.conf import settings

from config import telemetry
from config.production import UnsafeInProduction, refuse_unsafe_start
from flashsale.gate import metrics
from flashsale.metrics import TASK_SECONDS, TASKS, sign

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("flashsale")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
@beat_init.connect
def refuse(**_: Any) -> None:
    """Ends a worker or a beat that must not start. Celery would only log another exception, and go on."""
    try:
        refuse_unsafe_start(settings.FLASHSALE_REFUSALS)
    except UnsafeInProduction as error:
        sys.exit(str(error))


@worker_process_init.connect
@beat_init.connect
def start_measuring(**_: Any) -> None:
    """Sends what a process of a worker, or a beat, counts."""
    metrics.keep_sending()
    telemetry.start(enabled=settings.FLASHSALE_OTEL)


@beat_init.connect
def give_signs(**_: Any) -> None:
    """Each task that beat sends is its sign of life."""
    after_task_publish.connect(_sign_of_beat)


def _sign_of_beat(**_: Any) -> None:
    sign("beat")


@task_prerun.connect
def begin_task(task: Any = None, **_: Any) -> None:
    """Notes when a task begins."""
    task.request.began = time.monotonic()


@task_postrun.connect
def end_task(task: Any = None, state: str | None = None, **_: Any) -> None:
    """Counts a task that has ended, however it ended."""
    TASKS.add(task.name, (state or "unknown").lower())
    TASK_SECONDS.observe(time.monotonic() - getattr(task.request, "began", time.monotonic()), task.name)
    sign("worker")


# Each row has a name, the task, its period in seconds, and a note on what the task does.
BEAT = {
    "tick running sales": ("flashsale.tasks.tick_sales", 2.0),  # open, draw, call, expire, roll over, close
    "send due notices": ("flashsale.tasks.send_notices", 5.0),
    "watch for alarms": ("flashsale.tasks.watch_for_alarms", 10.0),
    "deliver webhooks": ("flashsale.tasks.deliver_webhooks", 2.0),
    "go on with reviews": (
        "flashsale.tasks.sweep_reviews",
        5.0,
    ),  # and carry out cancellations that can no longer be undone
    # Notifications, ended holds, refunds and looks that are due.
    "settle payments": ("flashsale.tasks.settle_payments", 5.0),
    "give limits back": ("flashsale.tasks.sweep_limits", 5.0),  # of cancellations that are final
    "reallocate what is planned": ("flashsale.tasks.sweep_units", 5.0),  # at the plan's time
    "delete old contacts": ("flashsale.tasks.sweep_contacts", 60.0),  # and answers kept for idempotency keys
    "delete old test sales": ("flashsale.tasks.sweep_sandboxes", 60.0),
    "finish rehearsals": ("flashsale.tasks.sweep_rehearsals", 5.0),
    "check promises": ("flashsale.tasks.check_promises", 10.0),
    "delete old samples": ("flashsale.tasks.sweep_samples", 60.0),
    "make settlements": (
        "flashsale.tasks.make_settlements",
        300.0,
    ),  # of days that are over, a few minutes after midnight
    "erase old campaigns": ("flashsale.tasks.erase_due", 3600.0),  # the people of campaigns that ended months ago
}

app.conf.beat_schedule = {
    name: {"task": task, "schedule": every, "options": {"expires": every}} for name, (task, every) in BEAT.items()
}
