"""The keys with which partners' servers call the API."""

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


def lock_channel(channel: Channel) -> Channel:
    """The channel's row, locked until the transaction ends, so that one request at a time counts its keys."""
    return Channel.objects.select_for_update(of=("self",)).select_related("campaign").get(pk=channel.pk)


class PartnerKey(models.Model):
    """A Bearer key of a channel. Only its SHA-256 is stored. Two may be active, so that a partner can rotate keys."""

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
        """The stored form. A plain hash is enough, because a key of 256 random bits cannot be guessed."""
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    @transaction.atomic
    def make(cls, channel: Channel, *, by: Any = None) -> "tuple[PartnerKey, str]":
        """A new row and its key in clear, which is shown once and never stored.

        Raises ValidationError for our own page, which does not call the API, and when two keys are active already.
        """
        channel = lock_channel(channel)
        if channel.kind != Channel.Kind.PARTNER:
            raise ValidationError(_("Only a partner's channel has keys: our own page does not call the API."))
        if channel.keys.filter(revoked_at=None).count() >= KEYS_MAX:
            raise ValidationError(_("Two keys of this channel are active. Revoke one before you make another."))
        key = f"fs_{'test' if channel.campaign.is_test else 'live'}_{secrets.token_urlsafe(32)}"
        row = cls.objects.create(channel=channel, prefix=key[:12], digest=cls.digest_of(key))
        Record.write("make_key", by=by, campaign=channel.campaign, subject=channel, facts={"key": row.pk})
        return row, key

    @transaction.atomic
    def revoke(self, *, by: Any = None) -> bool:
        """Revokes the key. Returns False when it was revoked before."""
        ended = bool(PartnerKey.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now()))
        if ended:
            Record.write(
                "revoke_key", by=by, campaign=self.channel.campaign, subject=self.channel, facts={"key": self.pk}
            )
        return ended
