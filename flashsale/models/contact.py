"""A buyer's contact data, encrypted."""

import json
from base64 import urlsafe_b64encode
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation


def _cipher() -> Fernet:
    return _cipher_of(settings.FLASHSALE_CONTACT_KEY)


@lru_cache(maxsize=2)
def _cipher_of(key: bytes) -> Fernet:
    return Fernet(urlsafe_b64encode(key))


class Contact(models.Model):
    """Name, address, phone and e-mail of a buyer.

    They are encrypted with a key outside the database (FLASHSALE_CONTACT_KEY), and deleted after `keep_until`.
    """

    reservation = models.OneToOneField(Reservation, models.CASCADE, related_name="contact")
    sealed = models.TextField(editable=False)
    language = models.CharField(_("language"), max_length=2, default="id")
    keep_until = models.DateTimeField(_("keep until"))

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")

    def __str__(self) -> str:
        return str(self.reservation_id)

    @classmethod
    def seal(cls, reservation: Reservation, data: dict[str, str], language: str, keep_until: datetime) -> "Contact":
        """An unsaved contact with the encrypted `data`."""
        return cls(reservation=reservation, sealed=cls.encrypt(data), language=language, keep_until=keep_until)

    @staticmethod
    def encrypt(data: dict[str, str]) -> str:
        """The encrypted `data`, as `sealed` holds it."""
        return _cipher().encrypt(json.dumps(data).encode()).decode()

    def read(self) -> dict[str, Any]:
        """The decrypted data. Raises InvalidToken when it was encrypted with another key."""
        return dict(json.loads(_cipher().decrypt(self.sealed.encode())))

    def add(self, **more: str) -> None:
        """Stores more data from the buyer, encrypted and kept as long as the rest."""
        self.sealed = _cipher().encrypt(json.dumps(self.read() | more).encode()).decode()
        self.save(update_fields=["sealed"])
