"""Cases: reviews of confirmed orders by people."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation
from flashsale.models.review_run import ReviewRun
from flashsale.models.state_choices import choices
from flashsale.rules.states import CaseState


class Case(models.Model):
    """A review of one order: frozen evidence, a proposal by one person, a decision by another person."""

    reservation = models.OneToOneField(Reservation, models.PROTECT, related_name="case", verbose_name=_("reservation"))
    rules_version = models.CharField(_("rules"), max_length=20)
    rules_hash = models.CharField(max_length=64)
    score = models.FloatField(_("score"), default=0)
    run = models.ForeignKey(ReviewRun, models.SET_NULL, null=True, related_name="cases", verbose_name=_("review"))
    group = models.PositiveIntegerField(_("group"), null=True)
    evidence = models.JSONField(_("evidence"), default=dict)
    state = models.CharField(_("state"), max_length=10, default=CaseState.OPEN, choices=choices(CaseState))
    opened_at = models.DateTimeField(_("opened"), auto_now_add=True)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("proposed by")
    )
    proposed_at = models.DateTimeField(_("proposed"), null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("decided by")
    )
    decided_at = models.DateTimeField(_("decided"), null=True)
    due_at = models.DateTimeField(_("carried out"), null=True)

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        permissions = [("approve_case", "Can approve the cancellation of an order, and undo it")]
        ordering = ["-score", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(decided_by=None) | Q(proposed_by=None) | ~Q(decided_by=F("proposed_by")),
                name="two_people_decide",
            ),
            models.CheckConstraint(
                condition=Q(state="open", proposed_by=None, decided_by=None)
                | Q(state="proposed", proposed_by__isnull=False, decided_by=None, proposed_at__isnull=False)
                | Q(
                    state="approved",
                    proposed_by__isnull=False,
                    decided_by__isnull=False,
                    decided_at__isnull=False,
                    due_at__isnull=False,
                )
                | Q(state="dismissed", decided_by__isnull=False, decided_at__isnull=False)
                | Q(state="cancelled", proposed_by__isnull=False, decided_by__isnull=False, decided_at__isnull=False),
                name="case_state_with_people",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="approved"), name="cases_to_carry_out"),
            models.Index(fields=["run", "group"], name="cases_by_group"),
        ]

    def __str__(self) -> str:
        return f"{self.reservation_id}: {self.state}"

    @property
    def is_open(self) -> bool:
        """Whether the order may still be cancelled or stand; the shop must not ship it meanwhile."""
        return self.state in {CaseState.OPEN, CaseState.PROPOSED, CaseState.APPROVED}


class CaseView(models.Model):
    """A person has viewed the evidence of a case. People who decide many cases at once must view a sample of them."""

    case = models.ForeignKey(Case, models.CASCADE, related_name="views", verbose_name=_("case"))
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("by"))
    at = models.DateTimeField(_("at"), auto_now_add=True)

    class Meta:
        verbose_name = _("viewed case")
        verbose_name_plural = _("viewed cases")
        constraints = [models.UniqueConstraint(fields=["case", "by"], name="opened_once")]

    def __str__(self) -> str:
        return f"{self.case_id} by {self.by_id}"
