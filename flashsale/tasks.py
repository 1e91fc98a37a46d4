"""Celery tasks. A task is a hint that rows in PostgreSQL may be due; the rows themselves are the list of work.

So a task may be lost, repeated, or run twice at once without harm: it reads the rows and does what is due.
"""

from contextlib import suppress
from typing import Any

from celery import current_app, shared_task
from celery.signals import task_prerun
from django.db import Error

from flashsale import metrics
from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import (
    alarms,
    cancel,
    deliver,
    erase,
    monitor,
    notify,
    reallocate,
    rehearse,
    retention,
    review,
    samples,
    sandbox,
    settlement,
    sweep_payments,
    tick,
)  # fmt: skip
from flashsale.life.measure_clock import MEASURE_S, measure_clock
from flashsale.rules.wall_clock import WALL_CLOCK


@task_prerun.connect
def read_clock(**_: Any) -> None:
    """Lets each task work with the time of Redis, as the web processes do. They read it once a second."""
    if WALL_CLOCK.age_s > MEASURE_S:
        with suppress(GateDown, Error):
            bridge.run(measure_clock())


@shared_task(name="flashsale.tasks.tick_sales")
def tick_sales(**_: Any) -> None:
    """One tick of every running sale, as in each web process."""
    tick.tick_once()


@shared_task(name="flashsale.tasks.send_notices")
def send_notices(**_: Any) -> int:
    """Sends the notices that are due."""
    return notify.send_due()


@shared_task(name="flashsale.tasks.watch_for_alarms")
def watch_for_alarms(**_: Any) -> None:
    """Looks for alarms and tells people about them, as each web process does."""
    bridge.run(alarms.watch())
    bridge.run(alarms.tell())


@shared_task(name="flashsale.tasks.deliver_webhooks")
def deliver_webhooks(**_: Any) -> int:
    """Sends the events that are due to the webhooks of partners."""
    return bridge.run(deliver.deliver_due())


@shared_task(name="flashsale.tasks.carry_on_review")
def carry_on_review(*, run: int, **_: Any) -> int:
    """Goes on with a review run: scores the orders of a sale and opens the cases."""
    return review.execute(run=run)


# The sweeps find rows that a lost message or a dead worker left undone. Each kind of row has its own task, because a
# task that fails must not delay the money and the units of other people.


@shared_task(name="flashsale.tasks.sweep_reviews")
def sweep_reviews(**_: Any) -> None:
    """Goes on with review runs, and carries out cancellations that can no longer be undone."""
    review.carry_out_due()
    for run in review.unfinished_runs():
        review.execute(run=run)


@shared_task(name="flashsale.tasks.settle_payments")
def settle_payments(**_: Any) -> int:
    """Reads notifications, closes what has ended, sends refunds, and looks at attempts, each when its date has come."""
    return sweep_payments.work_off_all()


@shared_task(name="flashsale.tasks.sweep_limits")
def sweep_limits(**_: Any) -> int:
    """Frees the limit slots of cancellations by review whose time to appeal is over."""
    return cancel.free_limit_slots()


@shared_task(name="flashsale.tasks.sweep_units")
def sweep_units(**_: Any) -> int:
    """Carries out the reallocation plans whose time has come."""
    return reallocate.carry_out_due()


@shared_task(name="flashsale.tasks.sweep_contacts")
def sweep_contacts(**_: Any) -> int:
    """Deletes contact data, answers kept for idempotency keys, and sessions of staff when their time is over."""
    return retention.forget_due()


@shared_task(name="flashsale.tasks.sweep_sandboxes")
def sweep_sandboxes(**_: Any) -> int:
    """Closes test sales that are over, and deletes those of yesterday."""
    return sandbox.forget_test_sales()


@shared_task(name="flashsale.tasks.sweep_rehearsals")
def sweep_rehearsals(**_: Any) -> int:
    """Finishes rehearsals whose crowd has left or is gone, and deletes their copies."""
    return rehearse.sweep()


@shared_task(name="flashsale.tasks.check_promises")
def check_promises(**_: Any) -> int:
    """Checks the promises of the running sales, and how many tasks wait. Returns how many sales were checked."""
    with current_app.connection_for_read() as link:
        metrics.sign("queue", int(link.default_channel.client.llen(current_app.conf.task_default_queue)))
    return len(monitor.check_all())


@shared_task(name="flashsale.tasks.sweep_samples")
def sweep_samples(**_: Any) -> int:
    """Deletes samples of running sales that are older than a day."""
    return samples.forget_old()


@shared_task(name="flashsale.tasks.make_settlements")
def make_settlements(**_: Any) -> int:
    """Makes the settlement files of days that are over. Returns how many days."""
    return settlement.make_due()


@shared_task(name="flashsale.tasks.erase_due")
def erase_due(**_: Any) -> list[str]:
    """Erases the people of campaigns that ended long enough ago. Returns the codes of the campaigns."""
    return erase.erase_due()
