"""Notices: e-mails to buyers about their orders, and about decisions."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.reservation import Reservation
from flashsale.models.sale import Sale
from flashsale.models.state_choices import choices
from flashsale.rules.states import NoticeState, SendingFailure


class Notice(models.Model):
    """A message to a buyer. The row is the work item; any worker may send it.

    `about` is the reference of the attempt to pay, or of the refund, that a letter is about. For a letter to a former
    address it is the time of the correction. There is at most one letter for each kind, sale and reference.
    """

    class Kind(models.TextChoices):
        CANCELLED = "cancelled", _("order cancelled")
        DECIDED = "decided", _("appeal decided")
        INVITED = "invited", _("invited to the follow-up sale")
        HELD = "held", _("how to pay")
        CONFIRMED = "confirmed", _("order confirmed")
        EXPIRED = "expired", _("not paid in time")
        REFUNDED = "refunded", _("money sent back")
        BANK_ACCOUNT = "bank_account", _("bank account for a refund")
        ADDRESS = "address", _("to the former address")

    reservation = models.ForeignKey(
        Reservation, models.PROTECT, related_name="notices", verbose_name=_("reservation"), db_index=False
    )
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    # PostgreSQL does not check it: a letter about an order must not wait while a rebuild has the sale locked.
    sale = models.ForeignKey(Sale, models.PROTECT, related_name="notices", verbose_name=_("sale"), db_constraint=False)
    about = models.CharField(_("about"), max_length=80, default="", db_default="", blank=True)
    line = models.ForeignKey(
        Allocation, models.PROTECT, null=True, related_name="invitations", verbose_name=_("invited to line")
    )
    state = models.CharField(_("state"), max_length=8, default=NoticeState.DUE, choices=choices(NoticeState))
    due_at = models.DateTimeField(_("due"))
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True)
    # Of the last attempt. The server's own words are not stored, because they may name the address.
    failure = models.CharField(_("why it failed"), max_length=16, blank=True, choices=choices(SendingFailure))
    smtp_code = models.PositiveSmallIntegerField(_("SMTP code"), null=True)
    # The mail service's name for the letter that it accepted last; "" with a mail server. Its reports name it.
    service_id = models.CharField(max_length=200, default="", db_default="", blank=True, editable=False)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = [
            models.UniqueConstraint(fields=["reservation", "kind", "sale", "about"], name="one_notice_per_subject"),
            models.CheckConstraint(
                condition=Q(state__in=["sent", "told"], sent_at__isnull=False)
                | (~Q(state__in=["sent", "told"]) & Q(sent_at=None)),
                name="notice_state_with_time",
            ),
            models.CheckConstraint(
                condition=Q(kind="invited", line__isnull=False) | (~Q(kind="invited") & Q(line=None)),
                name="invited_to_a_line",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="due"), name="notices_due"),
            models.Index(fields=["service_id"], condition=~Q(service_id=""), name="notices_by_service_id"),
        ]

    # Letters about an order and its money. Partners may do without them (`Channel.order_letters`).
    ABOUT_ORDERS = (Kind.HELD, Kind.CONFIRMED, Kind.EXPIRED, Kind.REFUNDED)

    def __str__(self) -> str:
        return f"{self.kind} → {self.reservation_id}"
