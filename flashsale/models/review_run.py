"""Review runs: each scores the orders of a sale once."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.rule_set import PublishedRuleSet
from flashsale.models.sale import Sale


class ReviewRun(models.Model):
    """One scoring of a sale's orders by one rule set. The row is the work item; any worker may continue it.

    A dry run opens no case; its `summary` says which orders the rule set would have flagged.
    """

    sale = models.ForeignKey(Sale, models.CASCADE, related_name="review_runs", verbose_name=_("sale"))
    rules = models.ForeignKey(PublishedRuleSet, models.PROTECT, related_name="runs", verbose_name=_("rules"))
    dry = models.BooleanField(_("dry run"), default=False)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("asked by")
    )
    asked_at = models.DateTimeField(_("asked for"), auto_now_add=True)
    orders = models.PositiveIntegerField(_("orders"), default=0)
    read = models.PositiveIntegerField(_("read"), default=0)
    scored = models.PositiveIntegerField(_("scored"), default=0)
    summary = models.JSONField(_("summary"), default=dict)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("review")
        verbose_name_plural = _("reviews")
        constraints = [
            models.UniqueConstraint(fields=["sale", "dry"], condition=Q(finished_at=None), name="one_review_at_a_time")
        ]

    def __str__(self) -> str:
        return f"{self.sale} ({self.rules})"
