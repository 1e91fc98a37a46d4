"""The page on which a buyer names the bank account for a refund, until the transfer is made."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone, translation

from flashsale.life import bank_account, cancel, notify, refund, sealed_links
from flashsale.models import BankAccount, Campaign, Refund, Reservation
from flashsale.rules.bank_accounts import Account
from flashsale.web import limits
from flashsale.web.pages import texts
from tests.admin.orders import buy
from tests.factories import PHONE, lobby_sale
from tests.life.refunds import says

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PAGE = "/bank-account"
TYPED = {"bank": "BCA", "number": "5471 1900-33", "holder": "Ani Wijaya"}
STORED = Account("BCA", "5471190033", "Ani Wijaya")


@pytest.fixture
def owed(monkeypatch: pytest.MonkeyPatch, gate: Any, transactional_db: None) -> list[Refund]:
    """The refunds of two buyers, which no provider can send."""
    for order in buy(lobby_sale(stock={PHONE: 2}), ["ani", "budi"]):
        cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    says(monkeypatch, "impossible")
    assert refund.refund_due() == 2
    return list(Refund.objects.order_by("pk"))


def link(row: Refund) -> str:
    return sealed_links.path(sealed_links.Kind.BANK_ACCOUNT, row.pk)


def open_letter(client: Client, path: str) -> Any:
    """Pastes the link into the page, as the script does."""
    return client.post(PAGE, {"link": path}, follow=True)


def opened(row: Refund, language: str = "en") -> Client:
    """A browser that has opened the letter about this refund."""
    client = Client(headers={"accept-language": language})
    assert open_letter(client, link(row)).status_code == 200
    return client


def text(page: Any) -> str:
    return re.sub(r"\s+", " ", page.content.decode())


def send(client: Client, row: Refund, **typed: str) -> Any:
    """Sends the form of the page about this refund."""
    return client.post(PAGE, TYPED | {"refund": row.reference} | typed, follow=True)


def stored(row: Refund) -> Account | None:
    found = BankAccount.objects.filter(refund=row).first()
    return bank_account.read(found) if found else None


def transfer(row: Refund) -> User:
    by = User.objects.create_user("dewi")
    assert refund.transferred(refund=row.pk, reference="BCA-1", by=by)
    return by


def test_the_letter_leads_to_the_page_which_stores_the_account_without_a_script(owed: list[Refund]) -> None:
    notify.send_due()
    (found,) = [one for one in mail.outbox if one.to == ["ani@example.com"] and PAGE in str(one.body)]
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\S+)", str(found.body))
    for language, words in (("en", "Where may we send your money?"), ("id", "Ke mana uang Anda dapat kami kirim?")):
        page = open_letter(Client(headers={"accept-language": language}), path)
        assert words in text(page)
        assert page["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert not BankAccount.objects.exists()
    client = opened(owed[0])
    done = send(client, owed[0])
    assert done.redirect_chain == [(PAGE, 302)]
    assert "Your account is saved." in text(done)
    assert (stored(owed[0]), stored(owed[1])) == (STORED, None)


def test_the_order_says_how_money_comes_back_that_no_provider_can_send(owed: list[Refund]) -> None:
    row = owed[0]

    def shown() -> str:
        with translation.override("en"):
            return texts.refund(Reservation.objects.get(pk=row.attempt.reservation_id))

    assert shown() == "it cannot go back the way you paid: tell us a bank account by the link in our e-mail"
    send(opened(row), row)
    assert shown() == "we transfer it to the bank account that you gave us"
    transfer(row)
    assert shown() == "transferred to your bank account; a bank may take some days until it shows the money"


def test_the_page_shows_the_amount_the_order_and_the_end_of_the_number_only(owed: list[Refund]) -> None:
    row, order = owed[0], owed[0].attempt.reservation
    client = opened(row)
    send(client, row)
    page = text(client.get(PAGE))
    assert str(order.pk)[:8] in page
    assert "Rp\xa01.799.000" in client.get(PAGE).content.decode()
    assert "BCA …033" in page
    hidden = (
        "5471190033",
        "Ani Wijaya",
        "ani@example.com",
        str(order.pk),
        "Jl. Mawar",
        order.sale.name,
        "POCO M3 4 GB",
    )
    assert [word for word in hidden if word in page] == []


def test_a_field_has_a_label_a_hint_and_a_mark_when_it_is_wrong(owed: list[Refund]) -> None:
    client = opened(owed[0])
    answer = send(client, owed[0], number="12345", holder="=1+1")
    page = text(answer)
    assert (answer.status_code, BankAccount.objects.exists()) == (422, False)
    assert 'role="alert">The account is not saved. Please correct the marked fields.' in page
    for name in ("bank", "number", "holder"):
        assert f'<label for="{name}">' in page
        assert f'aria-describedby="{name}-hint"' in page
        assert f'id="{name}-hint"' in page
    inputs = {name: found for found in re.findall(r"<input[^>]*>", page) for name in re.findall(r' id="(\w+)"', found)}
    assert [name for name in ("bank", "number", "holder") if 'aria-invalid="true"' in inputs[name]] == [
        "number", "holder",
    ]  # fmt: skip
    assert 'value="12345"' in inputs["number"], "the buyer corrects it and need not type it again"


def test_the_account_may_be_corrected_until_the_transfer_is_made(owed: list[Refund]) -> None:
    client, row = opened(owed[0]), owed[0]
    for _again in range(2):
        send(client, row)
    send(client, row, bank="BNI", number="0012345678")
    corrected = Account("BNI", "0012345678", "Ani Wijaya")
    assert stored(row) == corrected
    transfer(row)
    answer = send(client, row)
    assert (answer.status_code, stored(row)) == (409, corrected)
    assert "The account cannot be changed any more." in text(answer)
    page = text(client.get(PAGE))
    assert "We made the transfer on" in page
    assert str(timezone.localtime(timezone=row.attempt.reservation.sale.campaign.zone).year) in page
    assert 'name="number"' not in page


def test_the_form_of_another_refund_stores_nothing_for_the_one_that_is_open(owed: list[Refund]) -> None:
    client = opened(owed[0])
    assert open_letter(client, link(owed[1])).status_code == 200
    answer = send(client, owed[0])
    assert (answer.status_code, BankAccount.objects.count()) == (409, 0)
    assert "Another letter is open in this browser." in text(answer)
    assert owed[1].reference in text(answer)
    assert send(client, owed[1]).status_code == 200
    assert (stored(owed[0]), stored(owed[1])) == (None, STORED)


@pytest.mark.parametrize("change", ["forged", "another kind", "no refund", "nonsense"])
def test_a_link_that_is_not_of_this_letter_opens_nothing(owed: list[Refund], change: str) -> None:
    right = link(owed[0])
    token = {
        "forged": right[:-1] + ("A" if right[-1] != "A" else "B"),
        "another kind": sealed_links.path(sealed_links.Kind.APPEAL, owed[0].pk),
        "no refund": sealed_links.path(sealed_links.Kind.BANK_ACCOUNT, 10**9),
        "nonsense": "#nonsense",
    }[change].partition("#")[2]
    client = Client(headers={"accept-language": "en"})
    assert open_letter(client, f"{PAGE}#{token}").status_code == 404
    client.cookies["fs_letter"] = token
    answer = send(client, owed[0])
    assert (answer.status_code, BankAccount.objects.exists()) == (404, False)
    assert "This is not the link of a letter." in text(answer)


def test_an_old_link_says_so_and_so_does_one_of_an_erased_campaign(
    owed: list[Refund], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = opened(owed[0])
    Campaign.objects.update(erased_at=timezone.now(), salt=b"")
    assert (send(client, owed[0]).status_code, BankAccount.objects.exists()) == (410, False)
    monkeypatch.setattr(sealed_links, "LIFE", timedelta(seconds=-1))
    answer = open_letter(Client(headers={"accept-language": "en"}), link(owed[0]))
    assert answer.status_code == 410
    assert "This link is too old." in text(answer)


def test_the_page_asks_a_browser_without_the_letter_for_its_link_and_for_the_forms_token(owed: list[Refund]) -> None:
    client = Client(headers={"accept-language": "en"}, enforce_csrf_checks=True)
    assert "The link in your letter" in text(client.get(PAGE))
    assert "fs1." not in text(client.get(PAGE))
    client.cookies.update(opened(owed[0]).cookies)
    assert send(client, owed[0]).status_code == 403
    assert Client().post(PAGE, TYPED | {"refund": owed[0].reference}).status_code == 400
    assert not BankAccount.objects.exists()


def test_one_browser_may_not_send_accounts_without_end(owed: list[Refund], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LETTERS", limits.Limit("letters", 1, 60))
    client = opened(owed[0])
    assert send(client, owed[0]).status_code == 200
    assert (send(client, owed[0], bank="BNI").status_code, stored(owed[0])) == (429, STORED)


def test_the_currency_is_the_one_that_came(owed: list[Refund]) -> None:
    Refund.objects.update(sent_currency="USD")
    assert '<dd class="price">$ 1,799,000</dd>' in text(opened(owed[0]).get(PAGE))
