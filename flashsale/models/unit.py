"""Physical pieces, for ever one row each, and the plans that move them from return pools to follow-up sales."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.campaign import Campaign
from flashsale.rules.states import UnitState


class Unit(models.Model):
    """One piece. Every change of state or allocation raises `version` by one, and is a compare-and-set on it."""

    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="units", verbose_name=_("campaign"))
    serial = models.CharField(_("serial number"), max_length=140, unique=True)
    sku = models.CharField(_("SKU"), max_length=40)
    allocation = models.ForeignKey(Allocation, models.PROTECT, related_name="units", verbose_name=_("allocation"))
    state = models.CharField(_("state"), max_length=10, default=UnitState.FREE)
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
