"""The pages of letters, and the cancellation of an order, for a screen reader, a small phone, or no script."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from flashsale.life import review, sealed_links
from flashsale.models import Appeal, Case, Reservation, Sale
from tests.admin.orders import buy
from tests.browser.person import Person, called, own_page_sale
from tests.browser.site import Site
from tests.factories import PHONE, lobby_sale

pytestmark = pytest.mark.browser


@pytest.fixture
def letter(site: Site) -> str:
    """The link in the letter about Ani's cancelled order."""
    (order,) = buy(lobby_sale(stock={PHONE: 1}), ["ani"])
    one, two = User.objects.create_user("one"), User.objects.create_user("two")
    case = review.propose(case=review.open_case(reservation=order), code="automated_order", by=one)
    review.approve(case=case, by=two)
    return site.url + sealed_links.path(sealed_links.Kind.APPEAL, case.pk)


def without_script(browser: Browser) -> Page:
    return browser.new_context(java_script_enabled=False, locale="en-GB").new_page()


def test_an_appeal_is_readable_for_everybody_and_sent_without_a_script(
    site: Site, page: Page, browser: Browser, letter: str
) -> None:
    ani = Person(site, page, Sale.objects.get())
    page.goto(letter)
    ani.sees("Is this a mistake?")
    assert (ani.barriers(), ani.overflow() <= 0) == ([], True)

    plain = without_script(browser)
    plain.goto(letter)
    plain.get_by_label("The link in your letter").fill(letter)
    plain.get_by_role("button", name="Open the letter").click()
    plain.fill("#words", "I ordered by hand.")
    plain.get_by_role("button", name="Appeal", exact=True).click()
    expect(plain.get_by_role("heading", name="Your appeal has arrived")).to_be_visible()
    assert Appeal.objects.get().case == Case.objects.get()
    plain.context.close()

    page.reload()
    ani.sees("Your appeal has arrived")
    assert ani.barriers() == []


def test_the_token_of_a_letter_reaches_no_access_log_and_no_referer(site: Site, page: Page, letter: str) -> None:
    token = letter.partition("#")[2]
    sent: list[str] = []
    page.on("request", lambda asked: sent.extend([asked.url.partition("#")[0], asked.headers.get("referer", "")]))
    ani = Person(site, page, Sale.objects.get())
    page.goto(letter)
    ani.sees("Is this a mistake?")
    assert page.url == f"{site.url}/appeal"
    page.click("a.brand")
    page.wait_for_url(site.url + "/")
    page.go_back()
    ani.sees("Is this a mistake?")
    assert [text for text in sent if token in text] == []
    log = site.log.read_text(encoding="utf-8")
    assert ("POST /appeal" in log, token in log) == (True, False)


def test_a_link_that_is_opened_where_another_letter_is_open_shows_its_own_letter(
    site: Site, page: Page, letter: str
) -> None:
    ani = Person(site, page, Sale.objects.get())
    page.goto(letter)
    ani.sees("Is this a mistake?")
    page.evaluate("location.hash = 'fs1.nonsense'")
    ani.is_alerted("This is not the link of a letter.")
    assert (ani.barriers(), ani.overflow() <= 0) == ([], True)
    page.goto(letter)
    ani.sees("Is this a mistake?")


def test_a_refund_is_asked_for_with_a_code_and_without_a_script(site: Site, browser: Browser, letter: str) -> None:
    plain = without_script(browser)
    ani = Person(site, plain, Sale.objects.get(), language="en")
    plain.goto(letter)
    plain.get_by_label("The link in your letter").fill(letter)
    plain.get_by_role("button", name="Open the letter").click()
    plain.get_by_role("button", name="Send the code").click()
    plain.get_by_label("Code sent to your e-mail").fill(site.code_for(ani.email))
    plain.get_by_label("Yes, I do not appeal. The decision is final then.").check()
    plain.get_by_role("button", name="Send my refund now").click()
    expect(plain.get_by_text("due now")).to_be_visible()
    assert not Reservation.objects.get().limit_slots.exists()
    plain.context.close()


def test_a_paid_order_is_cancelled_with_a_code(site: Site, page: Page) -> None:
    ani = Person(site, page, own_page_sale())
    called(ani)
    ani.reserve()
    ani.sees("Reserved for you")
    ani.pay()
    ani.sees("Cancel this order")
    assert (ani.barriers(), ani.overflow() <= 0) == ([], True)
    page.get_by_role("button", name=ani.word("Send the code")).click()
    page.get_by_label(ani.word("Code sent to your e-mail")).fill("000000")
    assert (ani.barriers(), ani.overflow() <= 0) == ([], True)
    page.get_by_label(ani.word("Yes, cancel it and refund me.")).check()
    page.get_by_role("button", name=ani.word("Cancel this order")).click()
    ani.is_alerted("The e-mail code is wrong or expired. Use the newest message.")
    assert Reservation.objects.get().state == "confirmed"
    page.get_by_label(ani.word("Code sent to your e-mail")).fill(site.code_for(ani.email))
    page.get_by_label(ani.word("Yes, cancel it and refund me.")).check()
    page.get_by_role("button", name=ani.word("Cancel this order")).click()
    page.get_by_text("Permintaan pembeli").first.wait_for()
    assert Reservation.objects.get().state == "cancelled"
