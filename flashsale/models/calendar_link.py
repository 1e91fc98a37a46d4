"""The secret link by which a person's calendar reads the planned sales."""

import hashlib
import os
from base64 import urlsafe_b64encode

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

SECRET_BYTES = 32


class CalendarLink(models.Model):
    """One link of a member of staff. Only the digest of its secret is kept. A new link replaces it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="calendar_link", verbose_name=_("user")
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    drafts = models.BooleanField(_("with drafts"), default=False)
    made_at = models.DateTimeField(_("made"), auto_now_add=True)

    class Meta:
        verbose_name = _("calendar link")
        verbose_name_plural = _("calendar links")

    def __str__(self) -> str:
        return f"calendar:{self.pk}"

    @staticmethod
    def new_secret() -> str:
        """A secret for an address: 43 letters, digits, hyphens and underscores."""
        return urlsafe_b64encode(os.urandom(SECRET_BYTES)).decode().rstrip("=")

    @staticmethod
    def digest_of(secret: str) -> str:
        """What is kept of a secret. It has 256 random bits, so a plain hash cannot be guessed."""
        return hashlib.sha256(b"flashsale/calendar/v1" + secret.encode()).hexdigest()
