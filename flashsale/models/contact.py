"""A buyer's contact data, encrypted."""

from datetime import datetime
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation
from flashsale.models.sealed_data import SealedData

# Former e-mail addresses by the time of their correction, and the time of the last correction by staff.
_FORMER, _CORRECTED = "former_emails", "email_corrected"


class Contact(SealedData):
    """Name, address, phone and e-mail of a buyer.

    They are encrypted, and deleted after `keep_until` unless money of the buyer is not settled then. A former e-mail
    address is kept until the letter to it is sent or dropped. `read` leaves it out, because it may be a stranger's.
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

    def read(self) -> dict[str, Any]:
        """The buyer's data. Raises InvalidToken when it was encrypted with another key."""
        return {name: value for name, value in super().read().items() if name not in {_FORMER, _CORRECTED}}

    def add(self, **more: str) -> None:
        """Stores more data from the buyer, encrypted and kept as long as the rest."""
        self._store(more)

    def correct_email(self, email: str, *, at: datetime, keep_former: bool) -> None:
        """Stores the right address. `keep_former` keeps the one before it, for `former_email` of this time."""
        kept = self._former()
        if keep_former:
            kept |= {at.isoformat(): self.read()["email"]}
        self._store({"email": email, _FORMER: kept, _CORRECTED: at.isoformat()})

    def email_corrected_at(self) -> datetime | None:
        """When staff last corrected the address; None if they did not."""
        found = super().read().get(_CORRECTED)
        return datetime.fromisoformat(found) if found else None

    def former_email(self, at: str) -> str | None:
        """The address before the correction of this time; None once it is forgotten."""
        return self._former().get(at)

    def forget_former_email(self, at: str) -> None:
        """Forgets that address. Does nothing if it is forgotten."""
        self._store({_FORMER: {time: email for time, email in self._former().items() if time != at}})

    def _former(self) -> dict[str, str]:
        return dict(super().read().get(_FORMER, {}))

    def _store(self, more: dict[str, Any]) -> None:
        self.sealed = self.encrypt(super().read() | more)
        self.save(update_fields=["sealed"])
