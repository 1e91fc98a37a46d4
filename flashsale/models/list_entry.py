"""The people on an allocation's eligibility list."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.campaign import Channel


class ListEntry(models.Model):
    """A person on an allocation's list, by one digest. One proven axis on the list is enough to enter the line."""

    allocation = models.ForeignKey(
        Allocation, models.CASCADE, related_name="list_entries", verbose_name=_("allocation")
    )
    axis = models.CharField(_("axis"), max_length=20)
    digest = models.CharField(max_length=32)
    # The partner that handed in the list, because an account belongs to one partner.
    channel = models.ForeignKey(Channel, models.CASCADE, null=True, editable=False, related_name="+")

    class Meta:
        verbose_name = _("listed person")
        verbose_name_plural = _("listed people")
        constraints = [models.UniqueConstraint(fields=["allocation", "axis", "digest"], name="listed_once")]

    def __str__(self) -> str:
        return f"{self.axis} {self.digest[:8]}"
