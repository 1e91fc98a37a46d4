"""The lists of the review: values that are known to be honest, or known to be suspicious."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Campaign


class ListedValue(models.Model):
    """A value of one axis on a list of the review, by its digest. It has a reason and an end, and never changes.

    Allow: what orders share with this order weakly, such as an address, links it to no group. Block: the review always
    shows the order to people. Neither of them cancels an order.
    """

    class Kind(models.TextChoices):
        """What the entry does."""

        ALLOW = "allow", _("allow: a known household or company")
        BLOCK = "block", _("block: people always look")

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="listed_values", verbose_name=_("campaign"))
    kind = models.CharField(_("list"), max_length=5, choices=Kind.choices)
    axis = models.CharField(_("axis"), max_length=20)
    digest = models.CharField(max_length=32)
    why = models.CharField(_("reason"), max_length=200)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("made by")
    )
    made_at = models.DateTimeField(_("made"))
    expires_at = models.DateTimeField(_("expires"))
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("value on a list")
        verbose_name_plural = _("allow and block lists")
        ordering = ["-made_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "axis", "digest"], condition=Q(ended_at=None), name="listed_value_once"
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("made_at")), name="listed_value_expires_later"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.axis} {self.pk}"

    @staticmethod
    def in_effect(at: datetime) -> Q:
        """Selects the entries that have effect at this time."""
        return Q(made_at__lte=at, expires_at__gt=at) & (Q(ended_at=None) | Q(ended_at__gt=at))
