"""A buyer's appeal against the decision of a case."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.case import Case
from flashsale.models.state_choices import choices
from flashsale.rules.states import AppealState, Remedy


class Appeal(models.Model):
    """A buyer's objection to the decision of a case. A person who had no part in that decision decides again.

    The buyer's text is stored encrypted, with their contact data.
    """

    case = models.OneToOneField(Case, models.PROTECT, related_name="appeal", verbose_name=_("case"))
    # Copied from the case, because the table itself refuses a decision by one of these two.
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    received_at = models.DateTimeField(_("received"))
    state = models.CharField(_("state"), max_length=10, default=AppealState.OPEN, choices=choices(AppealState))
    remedy = models.CharField(_("remedy"), max_length=10, blank=True, choices=choices(Remedy))
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("decided by")
    )
    decided_at = models.DateTimeField(_("decided"), null=True)

    class Meta:
        verbose_name = _("appeal")
        verbose_name_plural = _("appeals")
        constraints = [
            models.CheckConstraint(
                condition=Q(decided_by=None) | (~Q(decided_by=F("proposed_by")) & ~Q(decided_by=F("approved_by"))),
                name="a_third_person_decides_an_appeal",
            ),
            models.CheckConstraint(
                condition=Q(state="open", remedy="", decided_by=None, decided_at=None)
                | Q(state="upheld", remedy="", decided_by__isnull=False, decided_at__isnull=False)
                | Q(
                    state="overturned",
                    remedy__in=[remedy.value for remedy in Remedy],
                    decided_by__isnull=False,
                    decided_at__isnull=False,
                ),
                name="appeal_state_with_person",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.case.reservation_id}: {self.state}"
