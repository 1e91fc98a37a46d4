"""A proposal to publish many units, or to add many. Another person carries it out."""

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.sale import Sale


class Proposal(models.Model):
    """What one person has proposed about a sale. The table refuses that the same person carries it out.

    `terms` are the values that the person saw, and `digest` is their digest. A proposal whose digest is not that of
    the present values is void. `withdrawn_at` is set when another proposal replaces it.
    """

    class Verb(models.TextChoices):
        """What the second person does."""

        PUBLISH = "publish", _("publish")
        ADD_UNITS = "add_units", _("add units")

    sale = models.ForeignKey(Sale, models.CASCADE, related_name="proposals", verbose_name=_("sale"))
    verb = models.CharField(_("action"), max_length=10, choices=Verb.choices)
    units = models.PositiveIntegerField(_("units"))
    terms = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    digest = models.CharField(max_length=64)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("proposed by"))
    at = models.DateTimeField(_("proposed"))
    done_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("carried out by")
    )
    done_at = models.DateTimeField(_("carried out"), null=True)
    withdrawn_at = models.DateTimeField(_("replaced"), null=True)

    class Meta:
        verbose_name = _("proposal")
        verbose_name_plural = _("proposals")
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(done_by=None) | ~Q(done_by=F("by")), name="two_people_publish"),
            models.CheckConstraint(
                condition=Q(done_by=None, done_at=None) | Q(done_by__isnull=False, done_at__isnull=False),
                name="proposal_done_by_a_person",
            ),
            models.CheckConstraint(condition=Q(done_at=None) | Q(withdrawn_at=None), name="proposal_done_or_withdrawn"),
            models.UniqueConstraint(
                fields=["sale", "verb"], condition=Q(done_at=None, withdrawn_at=None), name="one_open_proposal"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sale_id} {self.verb}"
