"""Members of staff read data about buyers, and each reading leaves a record in the audit trail.

Contacts are decrypted only here. A page or an export that shows other data about buyers calls :func:`note_reading`.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from cryptography.fernet import InvalidToken
from django.db import transaction

from flashsale.life.find_person import one_look
from flashsale.life.trail_keys import count_search
from flashsale.models import Campaign, Contact, Record, Reservation, Sale
from flashsale.models.record import NOTHING


class Reading(StrEnum):
    """What was read. The value is the word in the trail (`Record.what`)."""

    CONTACT = "read_contact"
    ACCOUNT = "read_account"
    EVIDENCE = "read_evidence"
    EXPORT = "export"


@transaction.atomic
def note_reading(
    what: Reading,
    *,
    by: Any,
    orders: Iterable[UUID] = (),
    subject: Any = None,
    sale: Sale | None = None,
    campaign: Campaign | None = None,
    facts: Mapping[str, Any] = NOTHING,
) -> None:
    """Writes one record that says who has read what about which orders. Call it before the page shows the data.

    `orders` are the ids of the reservations whose data is shown. Without any order and any subject, nothing is
    written. `subject` is a row or a word such as "transfers"; by default it is the only order, or "reservations".
    `facts` are counts and words, never personal data. If the record cannot be written, the error goes to the caller,
    so that nothing is shown.
    """
    ids = sorted({str(pk) for pk in orders})
    if not ids and subject is None:
        return
    if subject is None:
        subject = f"reservation:{ids[0]}" if len(ids) == 1 else "reservations"
    listed = {"orders": ids} if len(ids) > 1 else {}
    Record.write(what, by=by, sale=sale, campaign=campaign, subject=subject, facts={**listed, **facts})


@transaction.atomic
def read_contacts(
    *, reservations: Iterable[Reservation], by: Any, facts: Mapping[str, Any] = NOTHING
) -> dict[UUID, dict[str, str] | None]:
    """The contacts by the id of the reservation. None for a contact that this server's key cannot decrypt.

    A contact that is erased is not in the answer. For each other one, the trail says who has read it and when. If the
    records cannot be written, nothing is returned.
    """
    sales = {reservation.pk: reservation.sale for reservation in reservations}
    contacts = {contact.reservation_id: contact for contact in Contact.objects.filter(reservation__in=sales)}
    found = {pk: _decrypted(contact) for pk, contact in contacts.items()}
    for pk in sorted(found):
        if found[pk] is not None:
            note_reading(Reading.CONTACT, by=by, sale=sales[pk], orders=[pk], facts=facts)
    return found


def look_at_contact(
    *, reservation: Reservation, by: Any, facts: Mapping[str, Any] = NOTHING
) -> dict[UUID, dict[str, str] | None]:
    """As `read_contacts` for one order whose page each user with the right can open. It counts as a search.

    So no user reads all contacts page by page without an alarm. Raises ValidationError for too many.
    """
    with one_look(by), transaction.atomic():
        found = read_contacts(reservations=[reservation], by=by, facts=facts)
        if found.get(reservation.pk) is not None:
            # The transaction still has the lock of the trail, so this is the record of the reading.
            count_search(Record.objects.latest("position"))
    return found


def _decrypted(contact: Contact) -> dict[str, str] | None:
    try:
        return contact.read()
    except InvalidToken:
        return None
