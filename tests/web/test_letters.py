"""The pages behind the links in letters: GET changes nothing, a change needs the page's form, and links expire."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from flashsale.gate import bridge, inspect
from flashsale.life import letters, notify, reallocate, review, sealed_links
from flashsale.life.schedule import publish
from flashsale.models import Allocation, Appeal, Cancellation, Contact, Notice, Record, Reservation, Sale
from flashsale.rules.tokens import LetterLink
from tests.admin.forms import form_values
from tests.admin.orders import buy
from tests.factories import PHONE, card_of, draft_sale, lobby_sale
from tests.web.shop import Visitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def cancel(code: str, *, names: tuple[str, str] = ("one", "two")) -> Reservation:
    """Buys an order for Ani, cancels it and sends the letter. The two who decide have these names."""
    (order,) = buy(lobby_sale(stock={PHONE: 1}), ["ani"])
    one, two = (User.objects.create_user(name) for name in names)
    case = review.propose(case=review.open_case(reservation=order), code=code, by=one)
    review.approve(case=case, by=two)
    notify.send_due()
    return order


def path_in(letter: Any) -> str:
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\S+)", letter)
    return path


def open_letter(client: Client, link: str) -> Any:
    """Pastes the link into its page, as the script does. Returns the page of the letter."""
    return client.post(link.partition("#")[0], {"link": link}, follow=True)


def send(client: Client, action: str, **fields: str) -> Any:
    return client.post("/appeal", {"action": action} | fields, follow=True)


def test_a_letter_goes_to_the_very_mailbox_that_the_buyer_named() -> None:
    order = cancel("one_person_many_identities")
    assert mail.outbox[-1].to == ["ani@example.com"]
    Contact.objects.get(reservation=order).add(email="Ani@straße.example")
    assert letters.compose(Notice.objects.latest("pk")).to == ["Ani@xn--strae-oqa.example"]


def test_a_letter_names_shop_product_and_order_and_is_signed() -> None:
    order = cancel("one_person_many_identities")
    letter = mail.outbox[-1].body
    lines = [
        f"Nomor pesanan: {str(order.pk)[:8]}",
        f"Produk: {order.sale.campaign.name}",
        f"Toko: {order.channel.name}",
    ]
    assert [line for line in lines if line not in letter.splitlines()] == []
    assert letter.rstrip().endswith(f"Salam,\nTim penjualan {order.sale.campaign.name}")
    assert letter.splitlines()[2].startswith("Pesanan Anda dibatalkan pada ")
    assert "Apakah ini keliru?" in letter


def test_a_letter_that_admits_our_mistake_does_not_ask_whether_it_was_one(english: Client) -> None:
    cancel("cancelled_by_mistake")
    letter = next(letter.body for letter in mail.outbox if "/appeal#" in letter.body)
    assert "keliru?" not in letter
    assert "Ingin pesanan ini kembali?" in letter
    page = open_letter(english, path_in(letter)).content.decode()
    assert "Is this a mistake?" not in page
    assert "Do you want the order back?" in page


@pytest.fixture
def english() -> Client:
    return Client(headers={"accept-language": "en"})


def test_the_letter_leads_to_the_decision_and_the_appeal_is_sent_without_a_script(english: Client) -> None:
    order = cancel("one_person_many_identities")
    path = path_in(mail.outbox[-1].body)
    for client, words in ((english, "Is this a mistake?"), (Client(), "Apakah ini keliru?")):
        page = open_letter(client, path)
        assert words in page.content.decode()
        assert page["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert not Appeal.objects.exists()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies.update(english.cookies)
    assert strict.post("/appeal", {"action": "appeal"}).status_code == 403
    assert not Appeal.objects.exists()
    sent = send(english, "appeal", words="Two families.").content.decode()
    assert "Your appeal has arrived" in sent
    assert "Send my refund now" not in sent
    send(english, "appeal", words="again")
    assert Contact.objects.get(reservation=order).read()["appeal"] == "Two families."
    assert send(english, "code").status_code == send(english, "waive").status_code == 409
    assert Appeal.objects.get().state == "open"


def test_the_token_of_a_letter_stands_in_no_path_query_or_referer(english: Client) -> None:
    cancel("one_person_many_identities")
    url = urlsplit(f"http://127.0.0.1:8000{path_in(mail.outbox[-1].body)}")
    assert (url.path, url.query, url.fragment[:4]) == ("/appeal", "", "fs1.")
    asked = english.get("/appeal")
    assert "The link in your letter" in asked.content.decode()
    opened = english.post("/appeal", {"link": f"  Link: <{url.geturl()}>."}, follow=True)
    assert "Is this a mistake?" in opened.content.decode()
    assert opened.redirect_chain == [("/appeal", 302)]
    assert opened["Referrer-Policy"] == "same-origin"
    cookie = english.cookies["fs_letter"]
    assert (cookie.value, cookie["path"], cookie["httponly"], cookie["samesite"]) == (
        url.fragment, "/appeal", True, "Strict",
    )  # fmt: skip
    assert url.fragment not in opened.content.decode()


def test_a_link_of_an_earlier_release_leads_to_the_page_with_its_token_as_fragment(english: Client) -> None:
    cancel("one_person_many_identities")
    path = path_in(mail.outbox[-1].body)
    for kind in ("appeal", "invitation"):
        old = english.get(f"/{kind}/{path.partition('#')[2]}")
        assert (old.status_code, old["Location"]) == (302, path.replace("appeal", kind))
    assert english.post(f"/appeal/{path.partition('#')[2]}", {"action": "appeal"}).status_code == 405


def test_waiving_takes_a_fresh_code_and_has_one_effect(english: Client) -> None:
    order = cancel("one_person_many_identities")
    assert (
        "due as soon as the cancellation is final"
        in open_letter(english, path_in(mail.outbox[-1].body)).content.decode()
    )
    for code in ("", "000000"):
        assert send(english, "waive", code=code).status_code == 422
    assert (Cancellation.objects.get().appeal_until > timezone.now(), order.limit_slots.exists()) == (True, True)
    assert "Code sent to your e-mail" in send(english, "code").content.decode()
    assert mail.outbox[-1].to == ["ani@example.com"]
    code = mail.outbox[-1].subject[-6:]
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    refused = send(english, "waive", code=wrong)
    assert (refused.status_code, order.limit_slots.exists()) == (422, True)
    assert "The e-mail code is wrong or expired" in refused.content.decode()
    page = send(english, "waive", code=code).content.decode()
    assert "due now" in page
    assert "Is this a mistake?" not in page
    assert not order.limit_slots.exists()
    assert send(english, "waive", code=code).status_code == 200
    assert Record.objects.filter(what="waive").count() == 1


def test_a_code_for_one_order_waives_no_other(english: Client) -> None:
    first = cancel("one_person_many_identities")
    open_letter(english, path_in(mail.outbox[-1].body))
    send(english, "code")
    code = mail.outbox[-1].subject[-6:]
    second = cancel("one_person_many_identities", names=("three", "four"))
    open_letter(english, path_in(mail.outbox[-1].body))
    assert send(english, "waive", code=code).status_code == 422
    assert (first.limit_slots.exists(), second.limit_slots.exists()) == (True, True)


def test_a_form_about_one_order_does_nothing_to_the_order_of_a_letter_that_was_opened_since(english: Client) -> None:
    orders = [cancel("one_person_many_identities", names=(f"one{n}", f"two{n}")) for n in range(2)]
    first, second = (sealed_links.path(sealed_links.Kind.APPEAL, order.case.pk) for order in orders)
    fields = form_values(open_letter(english, first))
    assert fields["case"] == [str(orders[0].case.pk)] * len(fields["case"])
    open_letter(english, second)
    mail.outbox.clear()
    for action in ("appeal", "code", "waive"):
        page = english.post("/appeal", {"action": action, "case": fields["case"][0], "words": "Two families."})
        assert page.status_code == 409
        assert "Another letter is open in this browser, so nothing was sent." in page.content.decode()
    assert (Appeal.objects.count(), mail.outbox) == (0, [])
    assert [order.limit_slots.exists() for order in orders] == [True, True]
    assert "appeal" not in Contact.objects.get(reservation=orders[1]).read()
    open_letter(english, first)
    sent = english.post(
        "/appeal", {"action": "appeal", "case": fields["case"][0], "words": "Two families."}, follow=True
    )
    assert "Your appeal has arrived" in sent.content.decode()
    assert Appeal.objects.get().case == orders[0].case
    assert Contact.objects.get(reservation=orders[0]).read()["appeal"] == "Two families."


def test_without_contact_data_no_code_is_sent_and_the_refund_comes_by_itself(english: Client) -> None:
    order = cancel("one_person_many_identities")
    open_letter(english, path_in(mail.outbox[-1].body))
    Contact.objects.all().delete()
    mail.outbox.clear()
    assert (send(english, "code").status_code, mail.outbox, order.limit_slots.exists()) == (403, [], True)


def test_too_late_changes_nothing_and_says_so(english: Client) -> None:
    cancel("one_person_many_identities")
    open_letter(english, path_in(mail.outbox[-1].body))
    Cancellation.objects.update(appeal_until=timezone.now() - timedelta(minutes=1))
    answer = send(english, "appeal")
    assert (answer.status_code, Appeal.objects.count()) == (409, 0)
    assert "The time to appeal is over." in answer.content.decode()


def test_a_link_cannot_be_forged_and_expires(english: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    cancel("one_person_many_identities")
    path = path_in(mail.outbox[-1].body)
    swapped = path.replace("/appeal#", "/invitation#")
    for wrong in (path[:-1] + ("A" if path[-1] != "A" else "B"), "/appeal#fs1.x", "/appeal#nonsense", swapped):
        assert open_letter(english, wrong).status_code == 404
        english.cookies["fs_letter"] = wrong.partition("#")[2]
        assert english.get(wrong.partition("#")[0]).status_code == 404
        assert "fs_letter" not in {name for name, cookie in english.cookies.items() if cookie.value}
    assert english.post("/appeal", {"action": "appeal"}).status_code == 400
    monkeypatch.setattr(sealed_links, "LIFE", timedelta(seconds=-1))
    old = sealed_links.path(sealed_links.Kind.APPEAL, Reservation.objects.get().case.pk)
    assert open_letter(english, old).status_code == 410
    english.cookies["fs_letter"] = old.partition("#")[2]
    assert english.post("/appeal", {"action": "appeal"}).status_code == 410
    assert not Appeal.objects.exists()
    assert LetterLink.unpack(LetterLink(7, 8).pack()) == LetterLink(7, 8)


def invited(**rules: object) -> tuple[Sale, str]:
    order = cancel("cancelled_by_mistake")
    line = {"code": "l", "channels": ["lazada"], "stock": {PHONE: 1}} | rules
    rerun = draft_sale(order.sale.campaign, lines=[line], name="29 January")
    reallocate.reallocate(source=order.sale, target=rerun.allocations.get(), reserve=None)
    mail.outbox.clear()
    notify.send_due()
    return rerun, path_in(mail.outbox[0].body)


def test_an_invitation_shows_the_way_until_its_line_rolls_over(english: Client) -> None:
    rerun, path = invited(listed=[])
    page = open_letter(english, path).content.decode()
    assert "other people cannot enter" in page
    assert 'href="https://lazada.example/flash"' in page
    assert english.post("/invitation").status_code == 400
    open_letter(english, path)
    public = Allocation.objects.create(sale=rerun, code="public")
    Allocation.objects.filter(code="l").update(successor=public, rolls_over_at=timezone.now())
    assert english.get("/invitation").status_code == 410


def test_an_invitation_to_an_open_line_promises_no_unit(english: Client) -> None:
    _, path = invited()
    page = open_letter(english, path).content.decode()
    assert "everyone who does takes part in one draw" in page
    assert "other people cannot enter" not in page


def test_an_invitation_leads_to_its_own_line_and_admits_only_the_invited() -> None:
    order = cancel("cancelled_by_mistake")
    lines = [
        {"code": "public", "channels": ["mi.com"], "stock": {PHONE: 1}},
        {"code": "mi.com", "channels": ["mi.com"], "stock": {PHONE: 1}, "listed": []},
    ]
    rerun = draft_sale(order.sale.campaign, lines=lines)
    reallocate.reallocate(source=order.sale, target=rerun.allocations.get(code="mi.com"), reserve=None)
    publish(sale=rerun)
    notify.send_due()
    visitors = ani, eka = Visitor(rerun, "ani"), Visitor(rerun, "eka")
    page = open_letter(ani.client, path_in(mail.outbox[-1].body)).content.decode()
    assert f'href="/s/{rerun.code}/?line=mi.com"' in page
    assert [visitor.get("").context["script_data"]["line"] for visitor in visitors] == ["public", "public"]
    assert [visitor.get("?line=mi.com").context["script_data"]["line"] for visitor in visitors] == ["mi.com", "mi.com"]
    refused = eka.enter()
    assert (refused.status, refused.json["code"]) == (403, "not_eligible")
    assert ani.enter().status == 201
    assert [visitor.get("").context["script_data"]["line"] for visitor in visitors] == ["mi.com", "public"]
    assert bridge.run(inspect.counters(card_of(rerun), card_of(rerun).line("mi.com")))["entered"] == 1
