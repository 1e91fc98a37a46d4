"""The keys by which partners' servers call the API."""

import hashlib
import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Channel
from flashsale.models.record import Record

KEYS_MAX = 2


class PartnerKey(models.Model):
    """A Bearer key of a channel, stored as its SHA-256 only; two may be active for rotation."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="keys", verbose_name=_("channel"))
    prefix = models.CharField(_("begins with"), max_length=16)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    made_at = models.DateTimeField(_("made"), auto_now_add=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("partner key")
        verbose_name_plural = _("partner keys")

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @staticmethod
    def digest_of(key: str) -> str:
        """The stored form: the key has 256 random bits, so a plain hash cannot be guessed back."""
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    @transaction.atomic
    def make(cls, channel: Channel, *, by: Any = None) -> "tuple[PartnerKey, str]":
        """A new key and its one showing in clear; raises ValidationError when two are active already."""
        if channel.keys.filter(revoked_at=None).count() >= KEYS_MAX:
            raise ValidationError(_("Two keys of this channel are active. Revoke one before you make another."))
        key = f"fs_live_{secrets.token_urlsafe(32)}"
        row = cls.objects.create(channel=channel, prefix=key[:12], digest=cls.digest_of(key))
        Record.write("make_key", by=by, campaign=channel.campaign, subject=channel, facts={"key": row.pk})
        return row, key

    @transaction.atomic
    def revoke(self, *, by: Any = None) -> bool:
        """Ends the key; False when it had ended before."""
        ended = bool(PartnerKey.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now()))
        if ended:
            Record.write(
                "revoke_key", by=by, campaign=self.channel.campaign, subject=self.channel, facts={"key": self.pk}
            )
        return ended
