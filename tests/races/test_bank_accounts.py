"""A buyer corrects the bank account while staff note the transfer, or sends two forms at once."""

import threading
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.db.models import QuerySet

from flashsale.life import bank_account, refund
from flashsale.models import BankAccount, Record, Refund
from flashsale.rules.bank_accounts import Account
from tests.factories import PHONE, lobby_sale
from tests.life.refunds import by_buyer, says
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
ANI, OTHER = Account("BCA", "5471190033", "Ani"), Account("BNI", "0012345678", "Ani")


@pytest.fixture
def owed(monkeypatch: pytest.MonkeyPatch, gate: Any, transactional_db: None) -> Refund:
    by_buyer(lobby_sale(stock={PHONE: 1}))
    says(monkeypatch, "impossible")
    refund.refund_due()
    return Refund.objects.get()


def _giving_while_it_is_transferred(owed: Refund, monkeypatch: pytest.MonkeyPatch) -> str:
    """The buyer corrects the account; staff note the transfer when its state was read. Returns what happened first."""
    by, encrypt, first = User.objects.create_user(f"dewi-{User.objects.count()}"), BankAccount.encrypt, []

    def note() -> None:
        try:
            assert refund.transferred(refund=owed.pk, reference="BCA-1", by=by)
            first.append("transferred")
        finally:
            connection.close()

    thread = threading.Thread(target=note)

    def meanwhile(data: dict[str, str]) -> str:
        thread.start()
        thread.join(timeout=1)
        return encrypt(data)

    with monkeypatch.context() as patch:
        patch.setattr(BankAccount, "encrypt", staticmethod(meanwhile))
        assert bank_account.give(refund=owed.pk, account=ANI)
    first.append("given")
    thread.join(timeout=120)
    return str(first[0])


def test_an_account_is_never_stored_after_the_transfer(owed: Refund, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    assert bank_account.give(refund=owed.pk, account=OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "select_for_update", lambda self, **_: self)
        assert _giving_while_it_is_transferred(owed, monkeypatch) == "transferred", "without the lock, it is"
    Refund.objects.update(state="impossible", transferred_by=None, transferred_at=None, provider_id="")
    assert bank_account.give(refund=owed.pk, account=OTHER)
    assert _giving_while_it_is_transferred(owed, monkeypatch) == "given"
    row = Refund.objects.get()
    assert (row.state, bank_account.read(BankAccount.objects.get())) == ("transferred", ANI)


def test_two_forms_at_once_leave_one_of_the_two_accounts(owed: Refund, monkeypatch: pytest.MonkeyPatch) -> None:
    acts = [partial(bank_account.give, refund=owed.pk, account=account) for account in (ANI, OTHER)]
    read = bank_account.read
    if connection.vendor == "postgresql":
        both, filter_ = threading.Barrier(2, timeout=120), BankAccount.objects.filter

        def together(**fields: Any) -> Any:
            both.wait()
            return filter_(**fields)

        with monkeypatch.context() as patch:
            patch.setattr(QuerySet, "select_for_update", lambda self, **_: self)
            patch.setattr(BankAccount.objects, "filter", together)
            at_once(acts)
        facts = set(Record.objects.filter(what="give_account").values_list("facts", flat=True))
        assert len(facts) == 1, "without the lock, both take themselves for the first"
        BankAccount.objects.all().delete()
    known = Record.objects.filter(what="give_account").count()
    answers = at_once(acts)
    if connection.vendor == "postgresql":
        assert answers == [True, True]
    assert not [one for one in answers if one is not True and not isinstance(one, DatabaseError)]
    row = BankAccount.objects.get()
    assert read(row) in {ANI, OTHER}
    texts = list(Record.objects.filter(what="give_account").order_by("position").values_list("facts", flat=True))
    assert [f'"again":{again}' in text for again, text in enumerate(texts[known:])] == [True] * (len(texts) - known)
