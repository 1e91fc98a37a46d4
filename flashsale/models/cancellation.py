"""The cancellation of a confirmed order."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.case import Case
from flashsale.models.reservation import Reservation


class Cancellation(models.Model):
    """The end of a confirmed order under a reason of the catalogue; at most one for each order."""

    reservation = models.OneToOneField(
        Reservation, models.PROTECT, related_name="cancellation", verbose_name=_("reservation")
    )
    case = models.OneToOneField(Case, models.PROTECT, null=True, related_name="cancellation", verbose_name=_("case"))
    reason = models.CharField(_("reason"), max_length=40)
    at = models.DateTimeField(_("cancelled"))
    back_to_line = models.BooleanField(
        _("back to the line"),
        default=False,
        db_default=False,
        help_text=_("The buyer cancelled while the sale was running: the next person in the line gets the units."),
    )
    appeal_until = models.DateTimeField(_("appeal until"), null=True)

    class Meta:
        verbose_name = _("cancellation")
        verbose_name_plural = _("cancellations")

    def __str__(self) -> str:
        return f"{self.reservation_id}: {self.reason}"
