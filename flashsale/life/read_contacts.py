"""Members of staff read buyers' contacts, and each reading leaves a record in the audit trail."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from cryptography.fernet import InvalidToken
from django.db import transaction

from flashsale.models import Contact, Record, Reservation


@transaction.atomic
def read_contacts(*, reservations: Iterable[Reservation], by: Any) -> dict[UUID, dict[str, str] | None]:
    """The contacts by the id of the reservation. None for a contact that this server's key cannot decrypt.

    A contact that is erased is not in the answer. For each other one, the trail says who has read it and when. If the
    records cannot be written, nothing is returned.
    """
    sales = {reservation.pk: reservation.sale for reservation in reservations}
    contacts = {contact.reservation_id: contact for contact in Contact.objects.filter(reservation__in=sales)}
    found = {pk: _decrypted(contact) for pk, contact in contacts.items()}
    for pk in sorted(found):
        if found[pk] is not None:
            Record.write("read_contact", by=by, sale=sales[pk], subject=f"reservation:{pk}")
    return found


def _decrypted(contact: Contact) -> dict[str, str] | None:
    try:
        return contact.read()
    except InvalidToken:
        return None
