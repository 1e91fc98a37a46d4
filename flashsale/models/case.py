"""Reviews of confirmed orders, cancellations, appeals, and the notices that tell buyers."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.reservation import Reservation
from flashsale.models.rule_set import Rules
from flashsale.models.sale import Sale
from flashsale.rules.states import AppealState, CaseState, NoticeState, Remedy


class ReviewRun(models.Model):
    """One scoring of a sale under one rule set: a row of work that any worker may take up again.

    A dry run opens no case; `summary` says what it would have looked at.
    """

    sale = models.ForeignKey(Sale, models.CASCADE, related_name="review_runs", verbose_name=_("sale"))
    rules = models.ForeignKey(Rules, models.PROTECT, related_name="runs", verbose_name=_("rules"))
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


class Case(models.Model):
    """A review of one order: frozen evidence, a proposal, a decision by another person."""

    reservation = models.OneToOneField(Reservation, models.PROTECT, related_name="case", verbose_name=_("reservation"))
    rules_version = models.CharField(_("rules"), max_length=20)
    rules_hash = models.CharField(max_length=64)
    score = models.FloatField(_("score"), default=0)
    run = models.ForeignKey(ReviewRun, models.SET_NULL, null=True, related_name="cases", verbose_name=_("review"))
    group = models.PositiveIntegerField(_("group"), null=True)
    evidence = models.JSONField(_("evidence"), default=dict)
    state = models.CharField(_("state"), max_length=10, default=CaseState.OPEN)
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
                    state="approved", proposed_by__isnull=False, decided_by__isnull=False, decided_at__isnull=False,
                    due_at__isnull=False,
                )
                | Q(state="dismissed", decided_by__isnull=False, decided_at__isnull=False)
                | Q(state="cancelled", proposed_by__isnull=False, decided_by__isnull=False, decided_at__isnull=False),
                name="case_state_with_people",
            ),
        ]  # fmt: skip
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="approved"), name="cases_to_carry_out"),
            models.Index(fields=["run", "group"], name="cases_by_group"),
        ]

    def __str__(self) -> str:
        return f"{self.reservation_id}: {self.state}"

    @property
    def is_open(self) -> bool:
        """Whether it may still end either way; the shop must not ship meanwhile."""
        return self.state in {CaseState.OPEN, CaseState.PROPOSED, CaseState.APPROVED}


class Opened(models.Model):
    """That a person has had a case's evidence before them: who decides about many has to see a sample of them."""

    case = models.ForeignKey(Case, models.CASCADE, related_name="opened", verbose_name=_("case"))
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("by"))
    at = models.DateTimeField(_("at"), auto_now_add=True)

    class Meta:
        verbose_name = _("opened case")
        verbose_name_plural = _("opened cases")
        constraints = [models.UniqueConstraint(fields=["case", "by"], name="opened_once")]

    def __str__(self) -> str:
        return f"{self.case_id} by {self.by_id}"


class Cancellation(models.Model):
    """The end of a confirmed order, once, under a reason of the catalogue."""

    reservation = models.OneToOneField(
        Reservation, models.PROTECT, related_name="cancellation", verbose_name=_("reservation")
    )
    case = models.OneToOneField(Case, models.PROTECT, null=True, related_name="cancellation", verbose_name=_("case"))
    reason = models.CharField(_("reason"), max_length=40)
    at = models.DateTimeField(_("cancelled"))
    appeal_until = models.DateTimeField(_("appeal until"), null=True)

    class Meta:
        verbose_name = _("cancellation")
        verbose_name_plural = _("cancellations")

    def __str__(self) -> str:
        return f"{self.reservation_id}: {self.reason}"


class Appeal(models.Model):
    """A buyer's objection to a case's decision; somebody who had no part in that decides again. What the buyer wrote
    is with their contact data."""

    case = models.OneToOneField(Case, models.PROTECT, related_name="appeal", verbose_name=_("case"))
    # As the case has them, for the table itself refuses a decision by one of them.
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    received_at = models.DateTimeField(_("received"))
    state = models.CharField(_("state"), max_length=10, default=AppealState.OPEN)
    remedy = models.CharField(_("remedy"), max_length=10, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("decided by")
    )
    decided_at = models.DateTimeField(_("decided"), null=True)

    class Meta:
        verbose_name = _("appeal")
        verbose_name_plural = _("appeals")
        constraints = [
            models.CheckConstraint(
                condition=Q(decided_by=None)
                | (~Q(decided_by=F("proposed_by")) & ~Q(decided_by=F("approved_by"))),
                name="a_third_person_decides_an_appeal",
            ),
            models.CheckConstraint(
                condition=Q(state="open", remedy="", decided_by=None, decided_at=None)
                | Q(state="upheld", remedy="", decided_by__isnull=False, decided_at__isnull=False)
                | Q(
                    state="overturned", remedy__in=[remedy.value for remedy in Remedy],
                    decided_by__isnull=False, decided_at__isnull=False,
                ),
                name="appeal_state_with_person",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.case.reservation_id}: {self.state}"


class Notice(models.Model):
    """A message owed to a buyer, once per kind and sale: a row of work, sent by whoever comes to it."""

    class Kind(models.TextChoices):
        CANCELLED = "cancelled", _("order cancelled")
        DECIDED = "decided", _("appeal decided")
        INVITED = "invited", _("invited to the follow-up sale")

    reservation = models.ForeignKey(Reservation, models.PROTECT, related_name="notices", verbose_name=_("reservation"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    sale = models.ForeignKey(Sale, models.PROTECT, related_name="notices", verbose_name=_("sale"))
    line = models.ForeignKey(
        Allocation, models.PROTECT, null=True, related_name="invitations", verbose_name=_("invited to line")
    )
    state = models.CharField(_("state"), max_length=8, default=NoticeState.DUE)
    due_at = models.DateTimeField(_("due"))
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = [
            models.UniqueConstraint(fields=["reservation", "kind", "sale"], name="one_notice_per_kind"),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | (~Q(state="sent") & Q(sent_at=None)),
                name="notice_state_with_time",
            ),
            models.CheckConstraint(
                condition=Q(kind="invited", line__isnull=False) | (~Q(kind="invited") & Q(line=None)),
                name="invited_to_a_line",
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(state="due"), name="notices_due")]

    def __str__(self) -> str:
        return f"{self.kind} → {self.reservation_id}"
