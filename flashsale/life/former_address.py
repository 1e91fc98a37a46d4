"""Former address: when staff correct a buyer's e-mail address, the address before it gets one short letter.

So a buyer notices when somebody diverts their letters. The usual reason of a correction is a typing error, and then the
former address is a stranger's. So the letter has no name, product, amount or link. If it fails, it is dropped, and no
person has to act.

The letter becomes due in the transaction of the correction. The address stays encrypted in the contact until the letter
is sent or dropped, and goes with the contact when that is deleted.
"""

from contextlib import suppress
from datetime import datetime
from typing import Final

from cryptography.fernet import InvalidToken

from flashsale.books.letters import NewLetter, add_letters
from flashsale.models import Contact, Notice, Reservation
from flashsale.rules.identity import Axis, BadValue, message_address
from flashsale.rules.states import NoticeState, SendingFailure

# The failures by which a mailbox, or its mail service, says that no letter arrives there.
DEAD: Final = (
    SendingFailure.BAD_ADDRESS, SendingFailure.REFUSED, SendingFailure.BOUNCED, SendingFailure.REJECTED,
)  # fmt: skip


def correct_email(*, order: Reservation, contact: Contact, email: str, now: datetime) -> None:
    """Stores the right address of a buyer, and makes the letter to the former one due. Safe to repeat.

    The caller holds the locks of the order and of the contact. Test sales write no letters, and neither do partners
    that write to their own buyers. An address that no letter reaches gets none.
    """
    former = contact.read()["email"]
    if former.casefold() == email.casefold():
        contact.add(email=email)
        return
    writes = order.channel.order_letters and not order.sale.campaign.is_test
    told = writes and _is_address(former) and not _is_dead(order, contact.email_corrected_at())
    contact.correct_email(email, at=now, keep_former=told)
    if told:
        add_letters([NewLetter(order, Notice.Kind.ADDRESS, now.isoformat())], now)


def forget_former_email(letter: Notice) -> None:
    """Forgets the address of a letter that is sent or dropped. Does nothing for a letter of another kind."""
    if letter.kind != Notice.Kind.ADDRESS or letter.state == NoticeState.DUE:
        return
    contact = Contact.objects.select_for_update().filter(reservation=letter.reservation_id).first()
    # A contact that this server's key cannot read cannot be written either. It goes as a whole.
    with suppress(InvalidToken):
        if contact is not None:
            contact.forget_former_email(letter.about)


def _is_address(text: str) -> bool:
    try:
        message_address(Axis.EMAIL, text)
    except BadValue:
        return False
    return True


def _is_dead(order: Reservation, since: datetime | None) -> bool:
    """Whether letters to the present address have come back and none was accepted.

    `since` is when staff gave the present address: earlier letters went to another one. A letter that was accepted
    counts more than one that came back, because a mailbox may refuse one letter only.
    """
    own = Notice.objects.filter(reservation=order).exclude(kind=Notice.Kind.ADDRESS)
    back = own.filter(state__in=[NoticeState.FAILED, NoticeState.TOLD], failure__in=DEAD)
    accepted = own.filter(state=NoticeState.SENT)
    if since is not None:
        back, accepted = back.filter(due_at__gte=since), accepted.filter(sent_at__gte=since)
    return back.exists() and not accepted.exists()
