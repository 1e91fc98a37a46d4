"""Every order of a group in which a review has flagged an order, also the orders that it has not flagged."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation
from flashsale.models.review_run import ReviewRun


class RingOrder(models.Model):
    """An order of a ring, with the score and the evidence of the review run. It does not change after the run.

    A case that is opened later by a person for this order gets the same evidence.
    """

    run = models.ForeignKey(ReviewRun, models.CASCADE, related_name="ring_orders", verbose_name=_("review"))
    reservation = models.ForeignKey(
        Reservation, models.CASCADE, related_name="ring_orders", verbose_name=_("reservation")
    )
    group = models.PositiveIntegerField(_("group"))
    score = models.FloatField(_("score"))
    evidence = models.JSONField(_("evidence"), default=dict)

    class Meta:
        verbose_name = _("order of a ring")
        verbose_name_plural = _("orders of rings")
        constraints = [models.UniqueConstraint(fields=["run", "reservation"], name="ring_order_once")]
        indexes = [models.Index(fields=["run", "group"], name="ring_orders_by_group")]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.group}: {self.reservation_id}"
