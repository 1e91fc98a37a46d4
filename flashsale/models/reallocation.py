"""Plans that move units from return pools to follow-up sales, and the moves that were made."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.unit import Unit


class Reallocation(models.Model):
    """A published plan: returned units of one sale move to an allocation of a follow-up sale.

    `reserve` units stay for appeals. If one source has several plans, they take its units in the order in which the
    plans were made.
    """

    source = models.ForeignKey("Sale", models.PROTECT, related_name="reallocations", verbose_name=_("from sale"))
    target = models.ForeignKey(Allocation, models.PROTECT, related_name="reallocations", verbose_name=_("to line"))
    reserve = models.PositiveIntegerField(
        _("kept for appeals"),
        null=True,
        blank=True,
        help_text=_("Empty: no unit moves while an appeal about it is possible. A number: published with the plan."),
    )
    units = models.PositiveIntegerField(
        _("units at most"), null=True, blank=True, help_text=_("Empty: all that the plans before leave.")
    )
    due_at = models.DateTimeField(
        _("planned for"), null=True, blank=True, help_text=_("Empty: at once. The time to appeal follows from it.")
    )
    carried_out_at = models.DateTimeField(_("carried out"), null=True, editable=False)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, editable=False)
    made_at = models.DateTimeField(_("made"), auto_now_add=True)

    class Meta:
        verbose_name = _("reallocation")
        verbose_name_plural = _("reallocations")
        constraints = [models.UniqueConstraint(fields=["source", "target"], name="one_plan_per_source_and_target")]

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


class Move(models.Model):
    """One unit moved to another allocation.

    Either by a plan after a cancellation, once for each cancellation; or without both, because it rolled over unclaimed
    or an appeal restored an order with it.
    """

    plan = models.ForeignKey(Reallocation, models.PROTECT, null=True, related_name="moves", verbose_name=_("plan"))
    unit = models.ForeignKey(Unit, models.PROTECT, related_name="moves", verbose_name=_("unit"))
    cancellation = models.ForeignKey(
        "Cancellation", models.PROTECT, null=True, related_name="moves", verbose_name=_("cancellation")
    )
    origin = models.ForeignKey(Allocation, models.PROTECT, related_name="moves_out", verbose_name=_("from"))
    target = models.ForeignKey(Allocation, models.PROTECT, related_name="moves_in", verbose_name=_("to"))
    at = models.DateTimeField(_("moved"), auto_now_add=True)

    class Meta:
        verbose_name = _("move")
        verbose_name_plural = _("moves")
        constraints = [
            models.UniqueConstraint(fields=["unit", "cancellation"], name="reallocated_once"),
            models.CheckConstraint(condition=~Q(origin=F("target")), name="moved_elsewhere"),
            models.CheckConstraint(
                condition=Q(plan=None, cancellation=None) | Q(plan__isnull=False, cancellation__isnull=False),
                name="moved_by_plan_or_rolled_over",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.unit}: {self.origin} → {self.target}"
