"""Rehearsals: a copy of a sale with a simulated crowd, thrown away at its end. This row is what stays."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Campaign
from flashsale.models.sale import Sale


class Rehearsal(models.Model):
    """One rehearsal: its terms, how it goes, and its report.

    `terms` and `progress` are those of the crowd (rules/rehearsals.py), `figures` what it has measured. `campaign` is
    the test campaign, until it is deleted. `digest` is the SHA-256 of the one-time key of the crowd. `seen_at` is when
    the crowd gave its last sign of life.
    """

    class State(models.TextChoices):
        OPEN = "open", _("not over")
        ENDED = "ended", _("over")

    sale = models.ForeignKey(Sale, models.SET_NULL, null=True, related_name="rehearsals", verbose_name=_("sale"))
    name = models.CharField(_("name"), max_length=120)
    campaign = models.OneToOneField(Campaign, models.SET_NULL, null=True, editable=False, related_name="rehearsal")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("asked by")
    )
    asked_at = models.DateTimeField(_("asked for"), auto_now_add=True)
    state = models.CharField(_("state"), max_length=5, choices=State.choices, default=State.OPEN, editable=False)
    terms = models.JSONField(_("terms"), default=dict)
    forced = models.BooleanField(_("also near a live sale"), default=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    began_at = models.DateTimeField(_("begun"), null=True, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False)
    stop_at = models.DateTimeField(null=True, editable=False)
    # Why it ends before the sale is over: a word of life/rehearse.py.
    why = models.CharField(_("why it ended"), max_length=20, blank=True, default="", editable=False)
    progress = models.JSONField(default=dict, editable=False)
    # Of the machine of the server: its name, and the ticks of its processors when the crowd came. `load` is the share
    # that was busy since then.
    processors = models.JSONField(default=dict, editable=False)
    load = models.FloatField(default=0, editable=False)
    figures = models.JSONField(null=True, editable=False)
    report = models.JSONField(null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)

    class Meta:
        verbose_name = _("rehearsal")
        verbose_name_plural = _("rehearsals")
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=Q(state="open"), name="one_rehearsal_at_a_time")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"
