"""Hints that something in the books may be due; Celery carries them, the rows are the work.

Every task may be lost, repeated, or run beside itself: it looks at the rows and does what is due.
"""

from typing import Any

from celery import shared_task

from flashsale.life import cancel, erase, notify, reallocate, refund, retention, review, settle, tick


@shared_task(name="flashsale.tasks.tend")
def tend(**_: Any) -> None:
    """Looks after running sales, as every door does."""
    tick.tend_once()


@shared_task(name="flashsale.tasks.send_notices")
def send_notices(**_: Any) -> int:
    """Sends the notices that are due."""
    return notify.send_due()


@shared_task(name="flashsale.tasks.carry_on_review")
def carry_on_review(*, run: int, **_: Any) -> int:
    """Scores a sale's orders and opens the cases."""
    return review.execute(run=run)


# The sweep: what a lost message or a dead worker left. A task for each kind of row, for one that fails must not keep
# other people's money and units waiting.


@shared_task(name="flashsale.tasks.sweep_reviews")
def sweep_reviews(**_: Any) -> None:
    """Goes on with reviews, and carries out cancellations whose time to undo is over."""
    review.carry_out_due()
    for run in review.unfinished_runs():
        review.execute(run=run)


@shared_task(name="flashsale.tasks.sweep_payments")
def sweep_payments(**_: Any) -> int:
    """Settles payments whose hold has ended."""
    return settle.settle_ended_holds()


@shared_task(name="flashsale.tasks.sweep_limits")
def sweep_limits(**_: Any) -> int:
    """Gives back the limits of cancellations that are final."""
    return cancel.free_limit_slots()


@shared_task(name="flashsale.tasks.sweep_refunds")
def sweep_refunds(**_: Any) -> int:
    """Sends back the money that is due."""
    return refund.refund_due()


@shared_task(name="flashsale.tasks.sweep_units")
def sweep_units(**_: Any) -> int:
    """Carries out the reallocations whose time has come."""
    return reallocate.carry_out_due()


@shared_task(name="flashsale.tasks.sweep_contacts")
def sweep_contacts(**_: Any) -> int:
    """Forgets what has been kept long enough."""
    return retention.forget_due()


@shared_task(name="flashsale.tasks.erase_due")
def erase_due(**_: Any) -> list[str]:
    """Erases the people of campaigns that have been over for long enough."""
    return erase.erase_due()
