"""Allocations: units of a sale that are set aside for one line of people."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import CODE, Channel
from flashsale.models.frozen import Frozen, FrozenChange
from flashsale.models.sale import Sale
from flashsale.models.state_choices import choices
from flashsale.rules.states import AllocationMode


class Allocation(Frozen):
    """Units set aside in a sale, with the line of people that leads to them, or that a partner sells directly."""

    frozen_with = ("sale",)

    sale = models.ForeignKey(Sale, models.CASCADE, related_name="allocations", verbose_name=_("sale"), db_index=False)
    line_id = models.PositiveSmallIntegerField(_("line id"), editable=False)
    code = models.CharField(_("line"), max_length=40, validators=[CODE])
    name = models.CharField(_("name"), max_length=80, blank=True)
    channels = models.ManyToManyField(Channel, related_name="allocations", verbose_name=_("channels"))
    mode = models.CharField(_("mode"), max_length=8, default=AllocationMode.LINE, choices=choices(AllocationMode))
    opens_at = models.DateTimeField(
        _("opens later"),
        null=True,
        blank=True,
        help_text=_("Empty: with the sale. The draw is the sale's in both cases."),
    )
    listed_only = models.BooleanField(
        _("only for people on its list"), default=False, help_text=_("Other people cannot enter this line.")
    )
    successor = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="predecessors",
        verbose_name=_("rolls over to"),
        help_text=_("The line of this sale that gets the unclaimed units."),
    )
    rolls_over_at = models.DateTimeField(_("rolls over at"), null=True, blank=True)
    carries = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="carried_by",
        verbose_name=_("carries the order of"),
        help_text=_("People of that line keep their numbers if they show their place before the opening."),
    )
    # Redis may have given indexes up to here. If Redis loses its data, it goes on behind this index.
    block = models.PositiveIntegerField(default=0, editable=False)
    # How many had entered at the last backup. If Redis loses its data, this is still known.
    entered = models.PositiveIntegerField(default=0, editable=False)
    cohort = models.PositiveIntegerField(_("cohort"), null=True, editable=False)
    seed = models.CharField(max_length=64, blank=True, editable=False)
    called = models.PositiveIntegerField(_("called"), default=0, editable=False)
    # Numbers up to here had lapsed at the last backup.
    lapsed = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("allocation")
        verbose_name_plural = _("allocations")
        ordering = ["line_id"]
        constraints = [
            models.UniqueConstraint(fields=["sale", "code"], name="one_line_code_per_sale"),
            models.UniqueConstraint(fields=["sale", "line_id"], name="one_line_id_per_sale"),
            models.CheckConstraint(condition=Q(line_id__gte=1, line_id__lte=255), name="line_id_range"),
            models.CheckConstraint(
                condition=Q(successor=None, rolls_over_at=None)
                | (Q(successor__isnull=False, rolls_over_at__isnull=False) & ~Q(successor=F("id"))),
                name="roll_over_has_a_time",
            ),
            models.CheckConstraint(condition=Q(carries=None) | Q(mode=AllocationMode.LINE), name="only_lines_carry"),
            models.CheckConstraint(
                condition=Q(cohort=None, seed="") | (Q(cohort__isnull=False) & ~Q(seed="")), name="cohort_with_seed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sale_id}/{self.code}" if self.sale_id else self.code

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves, and gives the next line id within the sale to a new allocation."""
        if not self.line_id:
            last = Allocation.objects.filter(sale=self.sale).aggregate(last=models.Max("line_id"))["last"]
            self.line_id = (last or 0) + 1
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Raises ValidationError for wrong times or lines.

        Times must be within the sale's, the successor must be another line of the same sale, and the order must come
        from another sale of the same campaign.
        """
        super().clean()
        if not self.sale_id:
            return
        sale = self.sale
        for field in ("opens_at", "rolls_over_at"):
            at = getattr(self, field)
            if at and not sale.opens_at <= at < sale.closes_at:
                raise ValidationError({field: _("Between the sale's opening and its closing.")})
        if bool(self.successor_id) != bool(self.rolls_over_at):
            raise ValidationError({"rolls_over_at": _("A line that rolls over needs its successor and the time.")})
        if self.successor and (self.successor.sale_id != self.sale_id or self.successor_id == self.pk):
            raise ValidationError({"successor": _("The successor must be another line of the same sale.")})
        if self.carries and (self.carries.sale_id == self.sale_id or self.carries.sale.campaign_id != sale.campaign_id):
            raise ValidationError(
                {"carries": _("Only the order of another sale of this campaign can be carried over.")}
            )

    @property
    def ends_at(self) -> datetime:
        """When its people's time ends: the units roll over to the successor, or the sale closes."""
        return self.rolls_over_at or self.sale.closes_at


@receiver(models.signals.m2m_changed, sender=Allocation.channels.through)
def refuse_other_channels(instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_rest: Any) -> None:
    """Raises FrozenChange if the channels of a published line would change."""
    if not action.startswith("pre_"):
        return
    lines = [instance]
    if reverse:
        lines = list(instance.allocations.all() if pk_set is None else Allocation.objects.filter(pk__in=pk_set))
    changes = action == "pre_clear" or bool(pk_set)
    if changes and any(line.locked_and_published() for line in lines):
        raise FrozenChange(str(Allocation.frozen_text), code="frozen")
