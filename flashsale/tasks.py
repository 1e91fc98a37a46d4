"""Hints that something in the books may be due; Celery carries them, the rows are the work.

Every task may be lost, repeated, or run beside itself: it looks at the rows and does what is due.
"""

from typing import Any

from celery import shared_task

from flashsale.life import admit, cancel, confirm, erase, notify, reallocate, retain, review, settle


@shared_task(name="flashsale.tasks.tend")
def tend(**_: Any) -> None:
    """Looks after running sales, as every door does."""
    admit.tend_once()


@shared_task(name="flashsale.tasks.send_notices")
def send_notices(**_: Any) -> int:
    """Sends the notices that are due."""
    return notify.send_due()


@shared_task(name="flashsale.tasks.carry_on_review")
def carry_on_review(*, run: int, **_: Any) -> int:
    """Scores a sale's orders and opens the cases."""
    return review.carry_on(run=run)


@shared_task(name="flashsale.tasks.sweep")
def sweep(**_: Any) -> None:
    """Takes up what a lost message or a dead worker left: reviews, limits of final cancellations, refunds,
    reallocations that are due, and what has been kept long enough."""
    for run in review.unfinished():
        review.carry_on(run=run)
    review.carry_out_due()
    settle.settle_left()
    cancel.free_slots()
    confirm.refund_due()
    reallocate.carry_out_due()
    retain.forget_due()


@shared_task(name="flashsale.tasks.erase_due")
def erase_due(**_: Any) -> list[str]:
    """Erases the people of campaigns that have been over for long enough."""
    return erase.erase_due()
