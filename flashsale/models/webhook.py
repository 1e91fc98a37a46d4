"""Webhooks: addresses of a partner that get its events, and each event on its way to one."""

import uuid
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Channel
from flashsale.models.sealed_data import SealedData
from flashsale.models.state_choices import choices
from flashsale.rules.states import DeliveryFailure, DeliveryState, WebhookOff

ANSWER_CHARS_MAX = 500


class Webhook(SealedData):
    """An address of a partner's channel that gets the events of `types`; an empty list means all types.

    `sealed` has the secret, and until `previous_until` also the previous one. `cursor` is the id up to which the events
    of the channel have become deliveries. `failures` counts the rounds in a row in which the receiver took nothing,
    since `failing_since`; until `paused_until` it gets nothing. `leased_until` is how long the process that works on
    it has it for itself. `off` says why it is switched off.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="webhooks", verbose_name=_("channel"))
    url = models.CharField(_("address"), max_length=500)
    types = models.JSONField(_("types of events"), default=list, blank=True)
    previous_until = models.DateTimeField(_("previous secret valid until"), null=True)
    off = models.CharField(_("switched off"), max_length=12, blank=True, default="", choices=choices(WebhookOff))
    off_at = models.DateTimeField(_("switched off at"), null=True)
    made_at = models.DateTimeField(_("made"), auto_now_add=True)
    cursor = models.BigIntegerField(editable=False)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    failing_since = models.DateTimeField(_("failing since"), null=True)
    paused_until = models.DateTimeField(_("paused until"), null=True)
    leased_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        constraints = [
            models.CheckConstraint(
                condition=Q(off="", off_at=None) | (~Q(off="") & Q(off_at__isnull=False)), name="webhook_off_with_time"
            )
        ]

    def __str__(self) -> str:
        return self.url

    def secrets_at(self, now: datetime) -> list[str]:
        """The secrets that sign now, the newest first. Raises InvalidToken when they were sealed with another key."""
        kept = self.read()
        with_previous = self.previous_until is not None and now < self.previous_until
        return [kept["secret"], *([kept["previous"]] if with_previous else [])]


class Delivery(models.Model):
    """An event on its way to a webhook, and the last try. `event` is its id; a test message has none.

    `subject` is what the event happened to. The next event of a subject waits until this one is delivered or given up.
    `answer` has the first characters of the receiver's answer, or why there was none.
    """

    webhook = models.ForeignKey(
        Webhook, models.CASCADE, related_name="deliveries", verbose_name=_("webhook"), db_index=False
    )
    event = models.BigIntegerField(_("event"), null=True)
    type = models.CharField(_("type"), max_length=24)
    subject = models.CharField(_("about"), max_length=48)
    state = models.CharField(_("state"), max_length=10, default=DeliveryState.DUE, choices=choices(DeliveryState))
    made_at = models.DateTimeField(_("made"))
    due_at = models.DateTimeField(_("due"))
    give_up_at = models.DateTimeField(_("given up at"))
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    tried_at = models.DateTimeField(_("last attempt"), null=True)
    took_ms = models.PositiveIntegerField(_("took (ms)"), null=True)
    status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    failure = models.CharField(_("why it failed"), max_length=20, blank=True, choices=choices(DeliveryFailure))
    answer = models.CharField(_("answer"), max_length=ANSWER_CHARS_MAX, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [models.UniqueConstraint(fields=["webhook", "event"], name="one_delivery_per_event")]
        indexes = [
            models.Index(fields=["webhook", "made_at"], name="deliveries_of_a_webhook"),
            models.Index(fields=["webhook", "due_at", "event"], condition=Q(state="due"), name="deliveries_due"),
            models.Index(
                fields=["webhook", "subject", "event"], condition=Q(state="due"), name="deliveries_due_of_a_subject"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"

    @property
    def message_id(self) -> str:
        """The header `webhook-id`: the id of the event. Each try has the same."""
        return self.subject if self.event is None else str(self.event)
