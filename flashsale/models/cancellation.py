"""The cancellation of a confirmed order."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.case import Case
from flashsale.models.reservation import Reservation


class Cancellation(models.Model):
    """The end of a confirmed order under a reason of the catalogue; at most one for each order.

    `appeal_until` of a cancellation by a case is empty until the buyer was told: the time to appeal waits for the
    letter. A cancellation at the buyer's own wish has no case and no appeal.
    """

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

    @staticmethod
    def time_to_appeal(now: datetime) -> Q:
        """Selects cancellations whose buyers still have time to appeal, because it runs or has not begun."""
        return Q(case__isnull=False) & (Q(appeal_until__gte=now) | Q(appeal_until=None))

    def has_time_to_appeal(self, now: datetime) -> bool:
        """The same for this row."""
        return self.case_id is not None and (self.appeal_until is None or self.appeal_until >= now)
