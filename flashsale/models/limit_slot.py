"""Rows that count against the limit of an identity: limit slots, and unpaid holds."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Campaign
from flashsale.models.reservation import Reservation


class LimitSlot(models.Model):
    """One slot of an identity's limit on one axis.

    The table refuses a second use of a slot and a slot above the limit, so it has no room for one purchase too many.
    """

    scope = models.CharField(max_length=24)
    axis = models.CharField(max_length=20)
    digest = models.CharField(max_length=32)
    slot = models.PositiveSmallIntegerField()
    limit = models.PositiveSmallIntegerField()
    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="limit_slots")

    class Meta:
        verbose_name = _("limit slot")
        verbose_name_plural = _("limit slots")
        constraints = [
            models.UniqueConstraint(fields=["scope", "axis", "digest", "slot"], name="one_use_of_a_limit_slot"),
            models.CheckConstraint(
                condition=Q(slot__gte=1, slot__lte=models.F("limit")), name="limit_slot_within_limit"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.axis} {self.slot}/{self.limit}"

    @staticmethod
    def campaign_scope(campaign: int) -> str:
        """The `scope` of the limit that a campaign sets over all its sales."""
        return f"campaign:{campaign}"

    @staticmethod
    def sale_scope(sale: int) -> str:
        """The `scope` of the lower limit that a sale sets for itself."""
        return f"sale:{sale}"


class UnpaidHold(models.Model):
    """One digest of a person who let a hold expire unpaid, or cancelled an order while the sale was running.

    A person with two of these gets no further hold in the campaign. For an expired hold, the rows also say which limit
    slots to take again if the money arrives after all.
    """

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="unpaid_holds")
    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="unpaid_holds", db_index=False)
    axis = models.CharField(max_length=20)
    digest = models.CharField(max_length=32)

    class Meta:
        verbose_name = _("unpaid hold")
        verbose_name_plural = _("unpaid holds")
        constraints = [models.UniqueConstraint(fields=["reservation", "axis"], name="unpaid_once_per_axis")]

    def __str__(self) -> str:
        return f"{self.axis} {self.digest[:8]}"
