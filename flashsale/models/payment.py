"""The payment of a reservation. The drawing of its states is in life/settle.py."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation
from flashsale.models.state_choices import choices
from flashsale.rules.states import PaymentState


class Payment(models.Model):
    """The current payment attempt of a reservation; a new attempt takes the row of the one before.

    `reference` is ours and unique, so that a retry cannot charge twice.
    """

    reservation = models.OneToOneField(Reservation, models.PROTECT, related_name="payment")
    reference = models.CharField(_("reference"), max_length=80, unique=True)
    provider = models.CharField(_("provider"), max_length=20)
    method = models.CharField(_("method"), max_length=20)
    amount = models.PositiveBigIntegerField(_("amount"))
    state = models.CharField(_("state"), max_length=16, default=PaymentState.STARTED, choices=choices(PaymentState))
    started_at = models.DateTimeField(_("started"))
    settled_at = models.DateTimeField(_("settled"), null=True)
    refund_reference = models.CharField(_("refund reference"), max_length=80, blank=True)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints = [
            models.CheckConstraint(
                condition=Q(state="started", settled_at=None) | (~Q(state="started") & Q(settled_at__isnull=False)),
                name="payment_state_with_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="refunded") | ~Q(refund_reference=""), name="refund_has_a_reference"
            ),
        ]

    def __str__(self) -> str:
        return self.reference
