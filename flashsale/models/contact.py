"""A buyer's contact data, encrypted."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation
from flashsale.models.sealed_data import SealedData


class Contact(SealedData):
    """Name, address, phone and e-mail of a buyer.

    They are encrypted, and deleted after `keep_until` unless money of the buyer is not settled then.
    """

    reservation = models.OneToOneField(Reservation, models.CASCADE, related_name="contact")
    language = models.CharField(_("language"), max_length=2, default="id")
    keep_until = models.DateTimeField(_("keep until"))

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        permissions = [("export_contact", "Can export contacts")]

    def __str__(self) -> str:
        return str(self.reservation_id)

    @classmethod
    def seal(cls, reservation: Reservation, data: dict[str, str], language: str, keep_until: datetime) -> "Contact":
        """An unsaved contact with the encrypted `data`."""
        return cls(reservation=reservation, sealed=cls.encrypt(data), language=language, keep_until=keep_until)

    def add(self, **more: str) -> None:
        """Stores more data from the buyer, encrypted and kept as long as the rest."""
        self.sealed = self.encrypt(self.read() | more)
        self.save(update_fields=["sealed"])
