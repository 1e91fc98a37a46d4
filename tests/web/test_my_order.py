"""The link in a letter shows one order to any browser, and changes nothing."""

from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from django.core import mail
from django.test import Client
from django.utils import timezone

from flashsale.life import letters, notify, sealed_links
from flashsale.models import Campaign, Notice, PaymentAttempt, Reservation, Sale
from flashsale.providers import payments
from tests.factories import lobby_sale, open_now, tend
from tests.web.shop import Visitor

pytestmark = pytest.mark.django_db(transaction=True)
PERSONAL = ("Ani", "Melati", "ani@example.com", "0812", "+62812")


@pytest.fixture
def sale(gate: redis.Redis) -> Sale:
    return lobby_sale(channels=("mi.com",), opens_in_s=600)


@pytest.fixture
def ani(sale: Sale) -> Visitor:
    """A visitor whose place is called."""
    visitor = Visitor(sale)
    visitor.enter()
    open_now(sale)
    tend(sale)
    return visitor


@pytest.fixture
def stranger() -> Client:
    """A browser without any cookie."""
    return Client(headers={"accept-language": "en"})


def link_in_letter() -> str:
    """The path of the link in the letter that is due now."""
    Notice.objects.update(due_at=timezone.now())
    mail.outbox.clear()
    assert notify.send_due() == 1
    (link,) = letters.LINK.findall(str(mail.outbox[0].body))
    return str(link).removeprefix("http://127.0.0.1:8000")


def open_link(client: Client, link: str) -> Any:
    return client.post("/my-order", {"link": link}, follow=True)


def paid(ani: Visitor) -> str:
    ani.confirm(ani.reserve())
    return link_in_letter()


def test_the_link_shows_the_order_without_a_cookie_and_nothing_more(ani: Visitor, stranger: Client) -> None:
    link = paid(ani)
    order = Reservation.objects.get()
    page = open_link(stranger, link).content.decode()
    for text in (str(order.pk)[:8], "POCO M3 4 GB/64 GB", "Rp\xa01.799.000", "Confirmed", "QRIS: paid"):
        assert text in page
    assert [word for word in (*PERSONAL, "Cancel this order", "Appeal", "Send the code") if word in page] == []
    forms = [part.partition(">")[0] for part in page.split("<form")[1:]]
    assert forms == [' class="languages" method="post" action="/i18n/setlang/" aria-label="Language"']


def test_the_link_cancels_nothing_and_opens_no_other_page(ani: Visitor, stranger: Client) -> None:
    link = paid(ani)
    order = Reservation.objects.get()
    open_link(stranger, link)
    before = Reservation.objects.values().get()
    for action in ("cancel", "code", "release"):
        assert stranger.post(f"/s/{ani.sale.code}/order/{order.pk}/{action}", {"code": "123456"}).status_code == 404
        assert stranger.post("/my-order", {"action": action}).status_code == 400
    assert stranger.get(f"/s/{ani.sale.code}/order/{order.pk}").status_code == 404
    token = link.partition("#")[2]
    for page in ("/appeal", "/invitation"):
        assert stranger.post(page, {"link": f"{page}#{token}"}).status_code == 404
    assert Reservation.objects.values().get() == before
    assert len(mail.outbox) == 1


def test_the_token_is_the_fragment_and_its_cookie_goes_to_no_other_page(ani: Visitor, stranger: Client) -> None:
    link = paid(ani)
    parts = urlsplit(link)
    assert (parts.path, parts.query, parts.fragment[:4]) == ("/my-order", "", "fs1.")
    opened = open_link(stranger, link)
    assert opened.redirect_chain == [("/my-order", 302)]
    cookie = stranger.cookies["fs_letter"]
    assert (cookie.value, cookie["path"], cookie["httponly"], cookie["samesite"]) == (
        parts.fragment, "/my-order", True, "Strict",
    )  # fmt: skip
    assert opened["Cache-Control"].startswith("max-age=0, no-cache, no-store")


def test_the_letter_about_how_to_pay_leads_to_the_qr_code_and_the_page_follows(ani: Visitor, stranger: Client) -> None:
    ani.confirm(ani.reserve(), method="qris", instrument="")
    page = open_link(stranger, link_in_letter()).content.decode()
    assert "<svg" in page
    assert 'data-url="/my-order/payment"' in page
    assert "Pay another way" not in page
    mark = stranger.get("/my-order/payment").json()["mark"]
    assert f'data-mark="{mark}"' in page
    payments.DemoProvider().pay(reference=PaymentAttempt.objects.get().reference)
    ani.confirm(str(Reservation.objects.get().pk), method="qris", instrument="")
    assert stranger.get("/my-order/payment").json()["mark"] != mark
    assert "QRIS: paid" in stranger.get("/my-order").content.decode()


def test_a_browser_without_the_link_sees_no_order(ani: Visitor, stranger: Client) -> None:
    paid(ani)
    asked = stranger.get("/my-order")
    assert (asked.status_code, "The link in your letter" in asked.content.decode()) == (200, True)
    answer = stranger.get("/my-order/payment")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("token", ["", "fs1.AAAA", "fs1." + "A" * 80, "1"])
def test_a_link_that_is_none_is_not_found(ani: Visitor, stranger: Client, token: str) -> None:
    paid(ani)
    assert open_link(stranger, f"/my-order#{token}").status_code == 404
    stranger.cookies.load({"fs_letter": token})
    assert stranger.get("/my-order").status_code == (404 if token else 200)


def test_a_link_to_a_letter_of_another_kind_shows_nothing(ani: Visitor, stranger: Client) -> None:
    paid(ani)
    Notice.objects.update(kind="cancelled")
    link = sealed_links.path(sealed_links.Kind.ORDER, Notice.objects.get().pk)
    assert open_link(stranger, link).status_code == 404


def test_the_link_lives_as_long_as_the_order_and_ends_with_the_people_of_the_campaign(
    ani: Visitor, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = paid(ani)
    later = timezone.now() + 10 * sealed_links.LIFE
    with monkeypatch.context() as patch:
        patch.setattr("flashsale.life.sealed_links.wall_clock.now_ms", lambda: int(later.timestamp() * 1000))
        assert open_link(stranger, link).status_code == 200
    Campaign.objects.update(erased_at=timezone.now(), salt=b"")
    assert open_link(stranger, link).status_code == 410
