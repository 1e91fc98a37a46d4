"""Notify again: what a person does about a letter that did not reach its buyer.

The person sends it again, corrects the address first, or tells the buyer in another way and notes that. Each is
recorded in the audit trail, without the address. Each refuses FORBIDDEN for a letter to a former address, because
a person who diverts a buyer's letters must not stop it.
"""

from typing import Any

from cryptography.fernet import InvalidToken
from django.db import transaction

from flashsale.life.former_address import correct_email
from flashsale.life.notify import begin_time_to_appeal, stop_time_to_appeal
from flashsale.models import Contact, Notice, Record, Reservation
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis, BadValue, message_address
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import NoticeState


@transaction.atomic
def send_again(*, notice: Notice, by: Any) -> Notice:
    """Makes a letter due again, as if it had never been tried. Does nothing with a letter that is due.

    While the time to appeal still runs, it waits for this letter and begins again with it.
    """
    row = _locked(notice)
    if row.state != NoticeState.DUE:
        _make_due(row)
        _note("send_again", row, by)
    return row


@transaction.atomic
def correct_address(*, notice: Notice, email: str, by: Any) -> Notice:
    """Gives the buyer's contact another e-mail address, and makes the letter due again. The former address is told.

    Refuses BAD_IDENTITY for an address that cannot be right, NOT_FOUND when the contact data is deleted or cannot be
    read.
    """
    # As an erasure does, it locks the order before the letter and the contact.
    orders = Reservation.objects.select_for_update(of=("self",)).select_related("sale__campaign", "channel")
    order, row, now = orders.get(pk=notice.reservation_id), _locked(notice), wall_clock.now()
    contact = Contact.objects.select_for_update().filter(reservation=row.reservation_id).first()
    if contact is None:
        raise Refused(Outcome.NOT_FOUND, "The contact data of this buyer is deleted.")
    try:
        correct_email(order=order, contact=contact, email=message_address(Axis.EMAIL, email), now=now)
    except BadValue as error:
        raise Refused(Outcome.BAD_IDENTITY, f"{error.axis.value}: {error}") from error
    except InvalidToken as error:
        raise Refused(Outcome.NOT_FOUND, "This server's key cannot read the contact data.") from error
    _make_due(row)
    _note("correct_address", row, by)
    return row


@transaction.atomic
def told(*, notice: Notice, by: Any) -> Notice:
    """Notes that a person told the buyer in another way, such as by telephone. A repeat changes nothing.

    The time to appeal begins now, if it waited for the letter. Refuses FORBIDDEN when the letter was sent.
    """
    row = _locked(notice)
    if row.state == NoticeState.SENT:
        raise Refused(Outcome.FORBIDDEN, "The letter is sent.")
    if row.state != NoticeState.TOLD:
        row.state, row.sent_at = NoticeState.TOLD, wall_clock.now()
        row.save(update_fields=["state", "sent_at"])
        begin_time_to_appeal(row, row.sent_at)
        _note("told", row, by)
    return row


def _locked(notice: Notice) -> Notice:
    rows = Notice.objects.select_for_update(of=("self",)).select_related("sale__campaign")
    row = rows.get(pk=notice.pk)
    if row.kind == Notice.Kind.ADDRESS:
        raise Refused(Outcome.FORBIDDEN, "A letter to a former address is sent once.")
    return row


def _make_due(row: Notice) -> None:
    row.state, row.due_at, row.attempts, row.sent_at = NoticeState.DUE, wall_clock.now(), 0, None
    row.save(update_fields=["state", "due_at", "attempts", "sent_at"])
    stop_time_to_appeal(row, row.due_at)


def _note(verb: str, row: Notice, by: Any) -> None:
    facts = {"letter": row.kind, "reservation": str(row.reservation_id), "failure": row.failure}
    Record.write(verb, by=by, sale=row.sale, subject=row, facts=facts)
