"""Calls with an Idempotency-Key, of partners and of our own page: the request under each key, and its answer."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Channel


class ApiCall(models.Model):
    """One key of a channel.

    `answer` is the JSON as it was sent, and a repeat gets it again. It is None until the call had its effect, because a
    refused call is judged again when it is repeated. `attempt` is the reference of the payment attempt that the call
    has started. Once there is one, a refusal is an answer too: `refused` has its code, and `answer` its detail.
    """

    channel = models.ForeignKey(
        Channel, models.CASCADE, related_name="api_calls", verbose_name=_("channel"), db_index=False
    )
    key = models.CharField(_("key"), max_length=128)
    fingerprint = models.CharField(max_length=64, editable=False)
    answer = models.TextField(_("answer"), null=True)  # noqa: DJ001 - an empty text would be a stored answer
    refused = models.CharField(_("refused"), max_length=32, blank=True, default="")
    attempt = models.CharField(_("payment attempt"), max_length=80, blank=True, default="")
    made_at = models.DateTimeField(_("made"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = _("partner call")
        verbose_name_plural = _("partner calls")
        constraints = [models.UniqueConstraint(fields=["channel", "key"], name="one_call_per_key")]

    def __str__(self) -> str:
        return f"{self.channel_id} {self.key}"

    @classmethod
    def forget(cls, *, before: datetime) -> int:
        """Deletes the keys of calls made before this time; returns how many."""
        return cls.objects.filter(made_at__lt=before).delete()[0]
