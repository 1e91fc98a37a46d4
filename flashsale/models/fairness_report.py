"""The public report on a sale.

It is stored because its sources end: Redis forgets its counts, and the people of a campaign are erased.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.sale import Sale


class FairnessReport(models.Model):
    """`counted` holds counts that only Redis had, copied in time; `document` is the published report."""

    sale = models.OneToOneField(Sale, models.PROTECT, related_name="fairness_report", verbose_name=_("sale"))
    counted = models.JSONField(default=dict)
    document = models.JSONField(_("report"), default=dict)
    made_at = models.DateTimeField(_("made"), null=True)

    class Meta:
        verbose_name = _("fairness report")
        verbose_name_plural = _("fairness reports")

    def __str__(self) -> str:
        return str(self.sale)
