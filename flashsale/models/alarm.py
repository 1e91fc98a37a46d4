"""Alarms that were raised, and the messages about them."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Alarm(models.Model):
    """A trouble that people should look at. `code` is one of life/alarm_list.py.

    `subject` is what it is about, such as "sale:3"; "" is the whole installation. `facts` are the values of its text.
    The trouble was first found at `noticed_at` and last at `seen_at`. Once it has lasted for a while, the alarm is
    raised, at `raised_at`. Once it has been gone for a while, the alarm has ended, at `ended_at`.
    """

    code = models.CharField(_("alarm"), max_length=24)
    subject = models.CharField(_("about"), max_length=60, default="", blank=True)
    facts = models.JSONField(_("facts"), default=dict)
    noticed_at = models.DateTimeField(_("since"))
    seen_at = models.DateTimeField(_("last found"))
    raised_at = models.DateTimeField(_("raised"), null=True)
    ended_at = models.DateTimeField(_("until"), null=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        ordering = ["-noticed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["code", "subject"], condition=Q(ended_at=None), name="one_alarm_at_a_time_about_a_subject"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(raised_at__isnull=False), name="an_alarm_that_ended_was_raised"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.subject}".strip()


class AlarmMessage(models.Model):
    """One message about an alarm: that it was raised or has ended, by mail or by webhook. The row is the work item."""

    class What(models.TextChoices):
        RAISED = "raised", _("raised")
        ENDED = "ended", _("ended")

    class Way(models.TextChoices):
        MAIL = "mail", _("e-mail")
        WEBHOOK = "webhook", _("webhook")

    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="messages", verbose_name=_("alarm"))
    what = models.CharField(_("what"), max_length=8, choices=What.choices)
    way = models.CharField(_("way"), max_length=8, choices=Way.choices)
    due_at = models.DateTimeField(_("due"), null=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent"), null=True)
    failure = models.CharField(_("why it failed"), max_length=200, blank=True, default="")

    class Meta:
        verbose_name = _("message about an alarm")
        verbose_name_plural = _("messages about alarms")
        constraints = [
            models.UniqueConstraint(fields=["alarm", "what", "way"], name="one_message_per_event_and_way"),
            models.CheckConstraint(condition=Q(due_at=None) | Q(sent_at=None), name="a_sent_message_is_not_due"),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="alarm_messages_due")]

    def __str__(self) -> str:
        return f"{self.alarm_id} {self.what} {self.way}"
