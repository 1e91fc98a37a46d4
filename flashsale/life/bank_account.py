"""Bank account: a buyer says where the money goes that no provider can send back, and staff get a list for transfers.

the refund becomes impossible -> a letter with a sealed link -> the buyer gives an account, and may correct it
-> the list for transfers has it -> a person transfers the money (refund.py) -> the account can no longer change
-> a second person confirms the transfer -> the account is deleted after KEPT
"""

import logging
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.fernet import InvalidToken
from django.db import transaction
from django.utils import timezone

from flashsale.life import sealed_links
from flashsale.life.address_changes import changed_by
from flashsale.life.read_contacts import Reading, note_reading
from flashsale.life.refund import PEOPLE
from flashsale.life.staff_campaigns import rows_of
from flashsale.models import BankAccount, Record, Refund
from flashsale.rules.bank_accounts import Account
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import RefundState

if TYPE_CHECKING:
    from django.db.models import QuerySet

log = logging.getLogger(__name__)
# A bank may send a transfer back for some weeks. Then the account is needed once more.
KEPT = timedelta(days=30)


class Transfer(NamedTuple):
    """A line of the list for transfers. `amount` is in whole units of the currency, with fractions if there are any."""

    reference: str
    bank: str
    number: str
    holder: str
    amount: str
    currency: str


def refund_from_link(*, token: str) -> Refund:
    """The refund of a letter. Refuses NOT_FOUND, and EXPIRED for a link after its time.

    Once the people of the campaign are erased, the link has expired as well.
    """
    id_ = sealed_links.row_id_of(sealed_links.Kind.BANK_ACCOUNT, token)
    row = Refund.objects.select_related("attempt__reservation__sale__campaign", "bank_account").filter(pk=id_).first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no such refund.")
    if row.attempt.reservation.sale.campaign.erased_at:
        raise Refused(Outcome.EXPIRED, "The people of this campaign are erased.")
    return row


@transaction.atomic
def give(*, refund: int, account: Account) -> bool:
    """Stores the account of a refund that waits for a transfer by hand. False, and no change, once it is transferred.

    Safe to repeat: the same account again changes nothing, another one replaces it.
    """
    locked = Refund.objects.select_for_update(of=("self",)).select_related("attempt__reservation__sale")
    row = locked.get(pk=refund)
    if row.state != RefundState.IMPOSSIBLE:
        return False
    known, now = BankAccount.objects.filter(refund=row).first(), timezone.now()
    if known is not None and read(known) == account:
        return True
    if known is None:
        row.next_look_at = now + PEOPLE
        row.save(update_fields=["next_look_at"])
    values = {"sealed": BankAccount.encrypt(asdict(account)), "given_at": now, "listed_at": None}
    BankAccount.objects.update_or_create(refund=row, defaults=values)
    order = row.attempt.reservation
    facts = {"refund": row.reference, "again": int(known is not None)}
    Record.write("give_account", by="buyer", sale=order.sale, subject=order, facts=facts)
    return True


def read(row: BankAccount) -> Account | None:
    """The decrypted account; None if this server's key cannot decrypt it."""
    try:
        return Account(**row.read())
    except InvalidToken:
        return None


def to_transfer() -> "QuerySet[Refund]":
    """The refunds that wait for a transfer by hand, and whose buyers have given an account."""
    return Refund.objects.filter(state=RefundState.IMPOSSIBLE, bank_account__isnull=False)


@transaction.atomic
def list_transfers(*, by: Any) -> list[Transfer]:
    """All transfers that people have to make in the user's campaigns, the oldest first.

    The trail says who has made the list, and how many transfers it has. If the record cannot be written, nothing is
    returned. An account that this server's key cannot decrypt is left out and counted in the record. A transfer for a
    buyer whose e-mail address this person has changed is left out: another person lists it.
    """
    own = rows_of(BankAccount.objects.filter(refund__in=to_transfer()), by)
    accounts = own.select_related("refund__attempt__reservation")
    locked = list(accounts.select_for_update(of=("self",)).order_by("refund"))
    found = [row for row in locked if not changed_by(row.refund.attempt.reservation, by)]
    read_rows = [(row, account) for row in found if (account := read(row)) is not None]
    if len(read_rows) < len(found):
        log.error("%d bank accounts cannot be read with this server's contact key", len(found) - len(read_rows))
    BankAccount.objects.filter(pk__in=[row.pk for row, _ in read_rows]).update(listed_at=timezone.now())
    facts = {"transfers": len(read_rows), "unreadable": len(found) - len(read_rows)}
    Record.write("list_transfers", by=by, subject="transfers", facts=facts)
    orders = [row.refund.attempt.reservation_id for row, _ in read_rows]
    note_reading(Reading.ACCOUNT, by=by, subject="transfers", orders=orders)
    return [_transfer(row.refund, account) for row, account in read_rows]


def _transfer(row: Refund, account: Account) -> Transfer:
    whole = row.amount.to_integral_value()
    amount = str(whole) if whole == row.amount else f"{row.amount:.2f}"
    return Transfer(row.reference, account.bank, account.number, account.holder, amount, row.currency)


def forget_accounts(*, most: int) -> int:
    """Deletes accounts of refunds that were settled more than KEPT ago, at most `most`; how many. Safe to repeat."""
    over = {"refund__settled_at__lt": timezone.now() - KEPT}
    old = list(BankAccount.objects.filter(**over).values_list("pk", flat=True)[:most])
    return BankAccount.objects.filter(pk__in=old).delete()[0]
