"""Find my order: a person who proves a contact sees their orders. Another person learns nothing about a contact."""

import re
from typing import Any

import pytest
import redis
from django.core import mail
from django.test import Client
from django.utils import timezone

from flashsale.models import Campaign, Reservation, Sale
from flashsale.rules import wall_clock
from flashsale.web import limits
from flashsale.web.pages import find_page
from tests.factories import PHONE, draft_sale, end_now, forget, lobby_sale, open_now, poco_campaign, tend
from tests.web.puzzle import solve
from tests.web.shop import Visitor

pytestmark = pytest.mark.django_db(transaction=True)
PERSONAL = ("Ani", "Melati", "ani@example.com", "Budi")


@pytest.fixture
def sale(gate: redis.Redis) -> Sale:
    return lobby_sale(channels=("mi.com",), opens_in_s=600)


@pytest.fixture
def ani(sale: Sale) -> Visitor:
    """A buyer."""
    visitor = Visitor(sale)
    visitor.enter()
    open_now(sale)
    tend(sale)
    assert visitor.confirm(visitor.reserve()).status_code == 200
    mail.outbox.clear()
    return visitor


@pytest.fixture
def browser() -> Client:
    return Client(headers={"accept-language": "en"})


def ask(browser: Client, sale: Sale, contact: str, **more: str) -> Any:
    return browser.post(f"/s/{sale.code}/find", {"action": "code", "contact": contact} | more, follow=True)


def prove(browser: Client, sale: Sale, contact: str) -> str:
    """The page after the right code."""
    mail.outbox.clear()
    assert ask(browser, sale, contact).status_code == 200
    (letter,) = mail.outbox
    answer = browser.post(f"/s/{sale.code}/find", {"action": "find", "code": letter.subject[-6:]}, follow=True)
    assert answer.status_code == 200
    return str(answer.content.decode())


def without_token(page: str) -> str:
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)


@pytest.mark.parametrize("axis", ["email", "phone"])
def test_a_person_who_proves_a_contact_sees_the_order_and_no_way_to_change_it(
    ani: Visitor, browser: Client, axis: str
) -> None:
    page = prove(browser, ani.sale, ani.contacts[axis])
    order = Reservation.objects.get()
    for text in (str(order.pk)[:8], "POCO M3 4 GB/64 GB", "Rp\xa01.799.000", "Confirmed", "mi.com"):
        assert text in page
    assert [word for word in (*PERSONAL, "Cancel this order", f"order/{order.pk}") if word in page] == []
    assert browser.get(f"/s/{ani.sale.code}/order/{order.pk}").status_code == 404
    assert Reservation.objects.get().state == "confirmed"
    again = browser.get(f"/s/{ani.sale.code}/find")
    assert str(order.pk)[:8] in again.content.decode()
    assert again["Cache-Control"].startswith("max-age=0, no-cache, no-store")


def test_it_works_after_the_sale_when_redis_knows_it_no_more(ani: Visitor, browser: Client) -> None:
    end_now(ani.sale)
    forget(ani.sale)
    assert str(Reservation.objects.get().pk)[:8] in prove(browser, ani.sale, "ANI@example.com ")


def test_it_shows_the_orders_of_all_sales_of_the_campaign_and_of_no_other(ani: Visitor, browser: Client) -> None:
    later = lobby_sale(ani.sale.campaign, channels=("mi.com",), name="29 January")
    other = lobby_sale(channels=("mi.com",))
    number = str(Reservation.objects.get().pk)[:8]
    assert number in prove(browser, later, ani.contacts["email"])
    assert "No order in the sales of this campaign" in prove(
        Client(headers={"accept-language": "en"}), other, ani.contacts["email"]
    )
    foreign = browser.cookies["fs_found"]
    foreign["path"] = f"/s/{other.code}/find"
    assert number not in browser.get(f"/s/{other.code}/find").content.decode()


def test_an_unpaid_reservation_is_shown_too(ani: Visitor, browser: Client) -> None:
    Reservation.objects.update(state="expired", confirmed_at=None, ended_at=timezone.now())
    assert "Expired: it was not paid in time" in prove(browser, ani.sale, ani.contacts["phone"])


def test_before_the_code_a_known_and_an_unknown_contact_get_the_same_answers(ani: Visitor) -> None:
    answers = []
    for contact in (ani.contacts["email"], "stranger@example.com"):
        browser = Client(headers={"accept-language": "en"})
        mail.outbox.clear()
        asked = ask(browser, ani.sale, contact)
        wrong = browser.post(f"/s/{ani.sale.code}/find", {"action": "find", "code": "000000"})
        assert len(mail.outbox) == 1
        assert [name for name in browser.cookies if name == "fs_found"] == []
        answers.append(
            [
                (
                    one.status_code,
                    without_token(one.content.decode()),
                    sorted(set(one.headers.items()) - {("Expires", one.headers.get("Expires"))}),
                )
                for one in (asked, wrong)
            ]
        )
    assert answers[0] == answers[1]
    assert [status for status, *_ in answers[0]] == [200, 422]


def test_before_the_code_no_order_is_read(ani: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise AssertionError("an order was read")

    monkeypatch.setattr(find_page, "orders_of_person", fail)
    browser = Client()
    assert browser.get(f"/s/{ani.sale.code}/find").status_code == 200
    assert ask(browser, ani.sale, ani.contacts["email"]).status_code == 200
    assert browser.post(f"/s/{ani.sale.code}/find", {"action": "find", "code": "000000"}).status_code == 422


def test_the_limits_are_those_of_all_codes(ani: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CODES_CONTACT", limits.Limit("codes contact", 2, 600))
    answers = [ask(Client(), ani.sale, "budi@example.com").status_code for _ in range(4)]
    assert answers == [200, 200, 429, 429]
    assert len(mail.outbox) == 2


def test_a_code_can_be_guessed_five_times(ani: Visitor, browser: Client) -> None:
    ask(browser, ani.sale, ani.contacts["email"])
    code = mail.outbox[-1].subject[-6:]
    wrong = "111111" if code != "111111" else "222222"
    answers = [
        browser.post(f"/s/{ani.sale.code}/find", {"action": "find", "code": typed}).status_code
        for typed in [*[wrong] * 5, code]
    ]
    assert answers == [422] * 5 + [429]


def test_a_code_for_another_thing_or_another_campaign_proves_nothing_here(ani: Visitor) -> None:
    challenge = ani.post("codes", ani.contacts).json()["challenges"]["email"]
    code = next(letter.subject[-6:] for letter in mail.outbox if "example" in letter.to[0])
    browser = Client()
    browser.cookies.load({"fs_order_code": challenge})
    assert browser.post(f"/s/{ani.sale.code}/find", {"action": "find", "code": code}).status_code == 422
    other = lobby_sale(channels=("mi.com",))
    stranger = Client()
    mail.outbox.clear()
    ask(stranger, other, ani.contacts["email"])
    stranger.cookies["fs_order_code"]["path"] = f"/s/{ani.sale.code}/find"
    sent = mail.outbox[-1].subject[-6:]
    assert stranger.post(f"/s/{ani.sale.code}/find", {"action": "find", "code": sent}).status_code == 422


@pytest.mark.parametrize(
    "contact", ["", "x", "bukan-alamat@", "12", "+1 212 555 0100", "a" * 300, "ani@example.com\nBcc: b"]
)
def test_a_contact_that_cannot_get_a_code_is_refused_and_nothing_is_sent(sale: Sale, contact: str) -> None:
    answer = ask(Client(), sale, contact)
    assert (answer.status_code, mail.outbox) == (422, [])


def test_a_proof_is_forgotten_on_request_and_after_half_an_hour(
    ani: Visitor, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(browser, ani.sale, ani.contacts["email"])
    number = str(Reservation.objects.get().pk)[:8]
    later = wall_clock.now_ms() + find_page.COOKIE_S * 1000
    with monkeypatch.context() as patch:
        patch.setattr(wall_clock, "now_ms", lambda: later)
        assert number not in browser.get(f"/s/{ani.sale.code}/find").content.decode()
    page = browser.post(f"/s/{ani.sale.code}/find", {"action": "forget"}, follow=True).content.decode()
    assert number not in page
    assert "Mobile phone or E-mail" in page


def test_where_codes_need_work_the_page_asks_for_it_and_a_request_without_it_sends_nothing(gate: redis.Redis) -> None:
    sale = lobby_sale(poco_campaign(codes_need_work=True), channels=("mi.com",))
    browser = Client(headers={"accept-language": "en"})
    page = browser.get(f"/s/{sale.code}/find").content.decode()
    assert f'data-here="/s/{sale.code}/find/"' in page
    assert "flashsale/find" in page
    forget(sale)
    for work in ("", "bm8="):
        refused = ask(browser, sale, "ani@example.com", work=work)
        assert (refused.status_code, "puzzle" in refused.content.decode(), mail.outbox) == (422, True, [])
    work = solve(Visitor(sale), "find/puzzle")
    assert ask(browser, sale, "ani@example.com", work=work).status_code == 200
    assert len(mail.outbox) == 1
    assert ask(browser, sale, "ani@example.com", work=work).status_code == 422
    assert len(mail.outbox) == 1


def test_a_draft_and_an_erased_campaign_have_no_such_page(sale: Sale) -> None:
    draft = draft_sale(stock={PHONE: 1})
    assert Client().get(f"/s/{draft.code}/find").status_code == 404
    Campaign.objects.update(erased_at=timezone.now(), salt=b"")
    assert Client().get(f"/s/{sale.code}/find").status_code == 404
    assert ask(Client(), sale, "ani@example.com").status_code == 404


def test_the_page_of_the_sale_leads_here(sale: Sale, browser: Client) -> None:
    assert '<a href="find">Find my order</a>' in browser.get(f"/s/{sale.code}/").content.decode()
