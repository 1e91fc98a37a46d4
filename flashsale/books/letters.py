"""Letters about orders become due in PostgreSQL (the books), in the transaction that makes them true."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from flashsale.books.rows import insert
from flashsale.models.contact import Contact
from flashsale.models.notice import Notice
from flashsale.models.payment import Refund
from flashsale.models.reservation import Reservation
from flashsale.rules.states import NoticeState, RefundState

# Most people pay at once. The letter that says how to pay is for the others, so it waits a little.
HELD_WAITS = timedelta(minutes=1)
MONEY_ON_ITS_WAY = (RefundState.SENT, RefundState.CONFIRMED)


class NewLetter(NamedTuple):
    """A letter that becomes due. `about` is the reference of the attempt or the refund that it is about."""

    row: Reservation
    kind: Notice.Kind
    about: str = ""
    waits: timedelta = timedelta()


def add_letters(letters: Sequence[NewLetter], now: datetime) -> None:
    """Makes letters due, many in one statement. A letter that exists already stays as it is.

    The caller holds the locks of the reservations. A letter must not keep money or units from their change. The only
    rule for which the tables would refuse one is that it exists, so that one is left out.
    """
    assert connection.in_atomic_block, "a letter belongs to the transaction of the change that it tells of"
    if not letters:
        return
    columns: dict[str, Sequence[Any]] = {
        "reservation_id": [letter.row.pk for letter in letters],
        "sale_id": [letter.row.sale_id for letter in letters],
        "kind": [letter.kind.value for letter in letters],
        "about": [letter.about for letter in letters],
        "due_at": [now + letter.waits for letter in letters],
    }
    same = {"state": NoticeState.DUE.value, "attempts": 0, "failure": ""}
    insert(Notice, columns | {name: [value] * len(letters) for name, value in same.items()}, skip_known=True)


def add_letters_of_expired(rows: Sequence[Reservation], now: datetime) -> None:
    """Letters about holds that ended unpaid. People who never began to pay have told us no address."""
    reachable = _reachable({row.pk for row in rows})
    add_letters([NewLetter(row, Notice.Kind.EXPIRED) for row in rows if row.pk in reachable], now)


def add_letters_of_refunds(refunds: Sequence[Refund], now: datetime) -> None:
    """Letters about money that is on its way back, or that needs a bank account.

    `refund.attempt.reservation` is locked. Buyers of all channels are asked for an account, because the money cannot go
    back without one.
    """
    on_way = [refund for refund in refunds if refund.state in MONEY_ON_ITS_WAY]
    reachable = _reachable({refund.attempt.reservation_id for refund in on_way})
    letters = [
        NewLetter(refund.attempt.reservation, Notice.Kind.REFUNDED, refund.reference)
        for refund in on_way
        if refund.attempt.reservation_id in reachable
    ]
    letters += [
        NewLetter(refund.attempt.reservation, Notice.Kind.BANK_ACCOUNT, refund.reference)
        for refund in refunds
        if refund.state == RefundState.IMPOSSIBLE
    ]
    add_letters(letters, now)


def _reachable(ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those reservations whose buyers get our letters, and whose contact data we have."""
    if not ids:
        return set()
    contacts = Contact.objects.filter(reservation__in=ids, reservation__channel__order_letters=True)
    return set(contacts.values_list("reservation_id", flat=True))
