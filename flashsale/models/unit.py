"""Units: physical pieces with a serial number, one row each for ever."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.campaign import Campaign
from flashsale.models.state_choices import choices
from flashsale.rules.states import UnitState


class Unit(models.Model):
    """One piece. Every change of state or allocation is a compare-and-set on `version`, and raises it by one.

    Redis applies a message about a unit only if the version is newer than the one it knows.
    """

    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="units", verbose_name=_("campaign"))
    serial = models.CharField(_("serial number"), max_length=140, unique=True)
    sku = models.CharField(_("SKU"), max_length=40)
    allocation = models.ForeignKey(
        Allocation, models.PROTECT, related_name="units", verbose_name=_("allocation"), db_index=False
    )
    state = models.CharField(_("state"), max_length=10, default=UnitState.FREE, choices=choices(UnitState))
    version = models.PositiveIntegerField(_("version"), default=1)

    class Meta:
        verbose_name = _("unit")
        verbose_name_plural = _("units")
        constraints = [
            models.CheckConstraint(condition=Q(state__in=[s.value for s in UnitState]), name="unit_state_known")
        ]
        indexes = [models.Index(fields=["allocation", "state"], name="units_by_allocation")]

    def __str__(self) -> str:
        return self.serial
