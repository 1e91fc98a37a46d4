"""The admin's list of all money that waits, and the actions of people on refunds."""

from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.life import bank_account, cancel, inbox, notify_again, person_requests
from flashsale.life.address_changes import address_changes
from flashsale.life.download import download
from flashsale.models import BankAccount, Notice, PaymentAttempt, Record, Refund
from flashsale.rules.bank_accounts import Account
from flashsale.rules.csv_lines import for_spreadsheets
from flashsale.rules.identity import Axis
from tests.admin.forms import form_values, messages_on, submit
from tests.admin.orders import buy
from tests.factories import identity, lobby_sale
from tests.loop import in_a_loop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
ACCOUNT = Account("BCA", "5471190033", "Ani Wijaya")


@pytest.fixture
def owed(gate: Any) -> Refund:
    (order,) = buy(lobby_sale(), ["ani"])
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    Refund.objects.update(state="impossible", next_look_at=timezone.now())
    inbox.store(account="demo", references=[order.attempts.get().reference], body=b"", headers={})
    return Refund.objects.get()


def post(client: Client, action: str, row: Refund, **data: Any) -> list[str]:
    url = reverse(f"admin:flashsale_refund_{action}") + f"?id={row.pk}"
    return messages_on(submit(client, url, **data))


def test_the_list_names_what_to_do_by_whom_and_links_to_the_row(bob: Client, owed: Refund) -> None:
    bank_account.give(refund=owed.pk, account=ACCOUNT)
    page = bob.get(reverse("admin:flashsale_refund_waiting")).content.decode()
    assert "transfer it by hand (a reviewer): 1" in page
    assert reverse("admin:flashsale_refund_change", args=[owed.pk]) in page
    assert "A notification was stored" in page
    one = bob.get(reverse("admin:flashsale_refund_waiting") + "?action=transfer").content.decode()
    assert owed.reference in one
    assert "A notification was stored" not in one
    first = bob.get(reverse("admin:index")).content.decode()
    assert "Money that waits" in first
    assert "?action=transfer" in first


def test_amounts_in_the_lists_and_pages_are_money(bob: Client, owed: Refund) -> None:
    PaymentAttempt.objects.update(amount=2_299_000, paid=2_299_000, fee=4_000)
    Refund.objects.update(amount=2_299_000)
    money = "Rp\u00a02.299.000"
    for name, row, count in (("paymentattempt", owed.attempt_id, 2), ("refund", owed.pk, 1)):
        shown = bob.get(reverse(f"admin:flashsale_{name}_changelist"), {"o": "5"}).content.decode()
        page = bob.get(reverse(f"admin:flashsale_{name}_change", args=[row])).content.decode()
        assert (shown.count(money), page.count(money)) == (count, count)
        assert "2299000" not in shown + page
    attempt = bob.get(reverse("admin:flashsale_paymentattempt_change", args=[owed.attempt_id])).content.decode()
    assert "Rp\u00a04.000" in attempt


def test_only_those_who_may_see_refunds_see_the_list(client: Client, django_user_model: Any, owed: Refund) -> None:
    client.force_login(django_user_model.objects.create_user("eve", is_staff=True))
    assert client.get(reverse("admin:flashsale_refund_waiting")).status_code == 403


def test_a_transfer_takes_two_people(bob: Client, carol: Client, owed: Refund) -> None:
    assert post(bob, "transferred", owed, reference="BCA-1") == ["Noted. Another person has to confirm the transfer."]
    assert "Another person has to confirm the transfer." in post(bob, "confirm-transfer", owed)[0]
    owed.refresh_from_db()
    assert (owed.state, owed.provider_id) == ("transferred", "BCA-1")
    assert post(carol, "confirm-transfer", owed) == ["The transfer is confirmed."]
    owed.refresh_from_db()
    assert (owed.state, owed.confirmed_by.username if owed.confirmed_by else "") == ("confirmed", "carol")
    assert list(Record.objects.filter(what__contains="transfer").values_list("what", flat=True).order_by("pk")) == [
        "transfer", "confirm_transfer",
    ]  # fmt: skip


def test_who_changes_a_buyers_address_neither_lists_nor_transfers_the_money_and_its_page_says_so(
    bob: Client, carol: Client, make_user: Any, owed: Refund
) -> None:
    make_user("sari", "support")
    gina = make_user("gina", "reviewer")
    users = {user.username: user for user in User.objects.all()}
    order = owed.attempt.reservation
    letter = Notice.objects.filter(reservation=order).first() or Notice.objects.create(
        reservation=order, kind="bank_account", sale=order.sale, about=owed.reference, due_at=timezone.now()
    )
    known = identity("ani")
    request = person_requests.take(
        kind="correct", values={"email": known[Axis.EMAIL]}, proof="code", received_at=timezone.now(), by=users["carol"]
    )
    # Another name is no other address.
    person_requests.correct(request=request, order=order.pk, changes={"name": "Ani W"}, by=users["gina"])
    assert address_changes(order) == []
    notify_again.correct_address(notice=letter, email="mine@example.com", by=users["bob"])
    person_requests.correct(request=request, order=order.pk, changes={"email": "b@example.com"}, by=users["carol"])
    bank_account.give(refund=owed.pk, account=ACCOUNT)
    assert [change.name for change in address_changes(order)] == ["bob", "carol"]
    for client in (bob, carol):
        assert b"".join(transfers(client).streaming_content).decode() == HEAD
        assert "Another person has to do this" in post(client, "transferred", owed, reference="BCA-1")[0]
    owed.refresh_from_db()
    assert (owed.state, BankAccount.objects.get().listed_at) == ("impossible", None)
    assert owed.reference in b"".join(transfers(gina).streaming_content).decode()
    page = gina.get(reverse("admin:flashsale_refund_transferred") + f"?id={owed.pk}").content.decode()
    assert "bob changed the buyer&#x27;s e-mail address on" in page
    assert "carol changed the buyer&#x27;s e-mail address on" in page
    assert post(gina, "transferred", owed, reference="BCA-1") == ["Noted. Another person has to confirm the transfer."]
    for client in (bob, carol):
        assert "Another person has to do this" in post(client, "confirm-transfer", owed)[0]
    # A person who is switched off meanwhile is no second person.
    dina = make_user("dina", "reviewer")
    assert (
        "bob changed"
        in dina.get(reverse("admin:flashsale_refund_confirm-transfer") + f"?id={owed.pk}").content.decode()
    )
    User.objects.filter(username="gina").update(is_active=False)
    assert "is switched off" in post(dina, "confirm-transfer", owed)[0]
    owed.refresh_from_db()
    assert owed.state == "transferred"
    assert post(dina, "reject-transfer", owed) == ["The money has to be transferred again."]


def test_a_refund_that_failed_because_the_money_is_back_already_ends_without_a_letter_to_its_buyer(
    bob: Client, carol: Client, owed: Refund
) -> None:
    Refund.objects.update(state="failed", times=1, detail="Midtrans says of the payment: refund")
    url = reverse("admin:flashsale_refund_transferred") + f"?id={owed.pk}"
    assert "the money is back already, note the reference of that refund" in bob.get(url).content.decode()
    assert post(bob, "transferred", owed, reference="R-7") == ["Noted. Another person has to confirm the transfer."]
    assert post(carol, "confirm-transfer", owed) == ["The transfer is confirmed."]
    owed.refresh_from_db()
    assert (owed.state, owed.provider_id, owed.settled_at is not None) == ("confirmed", "R-7", True)
    assert not Notice.objects.filter(kind="bank_account").exists()


HEAD = "\ufeffreference,bank,number,holder,amount,currency\r\n"


def transfers(client: Client) -> Any:
    return client.post(reverse("admin:flashsale_refund_transfers"))


def made_lists() -> list[str]:
    return list(Record.objects.filter(what="list_transfers").values_list("facts", flat=True))


def test_the_list_for_transfers_is_a_file_that_runs_nothing(bob: Client, owed: Refund) -> None:
    assert bank_account.give(refund=owed.pk, account=ACCOUNT)
    for holder, cell in (
        ("=HYPERLINK(A1)", "'=HYPERLINK(A1)"),
        ("+Ani", "'+Ani"),
        ("-Ani", "'-Ani"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =Ani", "' =Ani"),
        ("\tAni", "'\tAni"),
        ("＝Ani", "'＝Ani"),
        ("O'Neil-Ani = x", "O'Neil-Ani = x"),
        ("Ani Ñandú 安妮", "Ani Ñandú 安妮"),
    ):
        # Directly, because the page takes fewer of these names.
        BankAccount.objects.update(
            sealed=BankAccount.encrypt({"bank": 'Bank, "X"', "number": "0012345678", "holder": holder})
        )
        answer = transfers(bob)
        assert answer.streaming
        text = b"".join(answer.streaming_content).decode()
        assert text == HEAD + f'{owed.reference},"Bank, ""X""",0012345678,{cell},1799000,IDR\r\n'
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Disposition"] == 'attachment; filename="transfers.csv"'
    assert made_lists() == ['{"transfers":1,"unreadable":0}'] * 9


def test_only_a_reviewer_makes_the_list_and_only_by_a_form(bob: Client, dave: Client, owed: Refund) -> None:
    bank_account.give(refund=owed.pk, account=ACCOUNT)
    assert transfers(dave).status_code == 403
    assert bob.get(reverse("admin:flashsale_refund_transfers")).status_code == 405
    assert (made_lists(), BankAccount.objects.get().listed_at) == ([], None)
    pages = [client.get(reverse("admin:flashsale_refund_waiting")).content.decode() for client in (bob, dave)]
    assert ["List for transfers (CSV)" in page for page in pages] == [True, False]


def test_a_refund_without_an_account_is_not_listed_and_its_page_shows_no_account(bob: Client, owed: Refund) -> None:
    page = bob.get(reverse("admin:flashsale_refund_waiting")).content.decode()
    assert "Waits for the buyer&#x27;s bank account (the buyer): 1" in page
    assert "List for transfers (CSV)" not in page
    assert b"".join(transfers(bob).streaming_content).decode() == HEAD
    row = reverse("admin:flashsale_refund_change", args=[owed.pk])
    assert "waits for the buyer&#x27;s account" in bob.get(row).content.decode()
    bank_account.give(refund=owed.pk, account=ACCOUNT)
    assert "given; not on the list for transfers yet" in bob.get(row).content.decode()
    transfers(bob)
    shown = bob.get(row).content.decode()
    assert "given; on the list for transfers since" in shown
    assert [word for word in (ACCOUNT.number, ACCOUNT.holder) if word in shown] == []


def test_staff_who_note_a_transfer_learn_that_the_account_has_changed(bob: Client, owed: Refund) -> None:
    url = reverse("admin:flashsale_refund_transferred") + f"?id={owed.pk}"
    assert "has given no bank account on our page" in bob.get(url).content.decode()
    bank_account.give(refund=owed.pk, account=ACCOUNT)
    assert "after the last list for transfers" in bob.get(url).content.decode()
    transfers(bob)
    page = bob.get(url)
    assert "after the last list for transfers" not in page.content.decode()
    bank_account.give(refund=owed.pk, account=Account("BNI", "0012345678", "Ani"))
    answer = bob.post(url, {**form_values(page), "reference": "BCA-1"}, follow=True)
    assert "it is not as your page showed it" in messages_on(answer)[0]
    assert Refund.objects.get().state == "impossible"


def test_the_file_is_streamed_by_an_asgi_server_as_well() -> None:
    request = ASGIRequest({"type": "http", "method": "POST", "path": "/", "headers": []}, BytesIO())
    answer = download(request, "x.csv", for_spreadsheets([["a", "=b", -5]]))

    async def lines() -> list[bytes]:
        return [line async for line in answer]

    assert in_a_loop(lines()) == ["\ufeffa,'=b,-5\r\n".encode()]
