"""A shopper enters, is drawn, is called, reserves and pays on a phone, also with lost answers and lost connections."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import redis
from playwright.sync_api import Browser, Page, Route, expect

from flashsale.gate import bridge
from flashsale.life.look import look
from flashsale.life.sale_control import close_early, pause, resume
from flashsale.models import PaymentAttempt, Reservation
from flashsale.providers.payments import DemoProvider
from flashsale.rules import lottery
from simulation.demo_bank import send_notification
from tests.browser.person import SOON_MS, Person, called, own_page_sale
from tests.browser.site import Site
from tests.factories import PHONE, Shopper, open_now, tend

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_person_enters_is_drawn_called_and_pays(shop: Site, page: Page, language: str) -> None:
    person = Person(shop, page, own_page_sale(), language=language)
    person.come()
    assert person.barriers() == []
    person.ask_for_codes()
    assert person.barriers() == []
    person.type_codes()
    person.sees("You are in line")
    assert person.barriers() == []
    person.is_called()
    person.is_told("It is your turn now!")
    assert person.barriers() == []
    person.reserve()
    person.sees("Reserved for you")
    assert person.barriers() == []
    assert page.input_value("#buyer-email") == person.email
    person.pay()
    person.sees("Your order")
    assert person.barriers() == []
    expect(page.locator(".pill")).to_have_text(person.word("Confirmed"))
    order = Reservation.objects.get(sale=person.sale)
    assert (order.state, order.payment.method, order.contact.language) == ("confirmed", "qris", language)


def test_nothing_is_chosen_for_the_buyer(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    called(person)
    assert page.locator(":checked").count() == 0
    person.reserve()
    person.sees("Reserved for you")
    assert page.locator("[name=method]:checked").count() == 0


def test_a_reload_keeps_place_and_reservation(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    person.come()
    person.enter()
    page.reload()
    person.sees("You are in line")
    person.is_called()
    page.reload()
    person.sees("It is your turn")
    person.reserve()
    person.sees("Reserved for you")
    page.reload()
    person.sees("Reserved for you")


def test_a_reservation_whose_answer_was_lost_is_made_once(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    called(person)
    keys = []

    def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            route.abort()
        elif len(keys) == 2:
            route.fulfill(content_type="text/html", body="<h1>Be right back</h1>")
        else:
            route.continue_()

    page.route("**/reserve", lose)
    person.reserve()
    person.sees("Reserved for you")
    assert keys == keys[:1] * 3
    assert Reservation.objects.filter(sale=person.sale).count() == 1


def test_a_declined_payment_can_be_tried_again(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    called(person)
    person.reserve()
    person.pay(instrument="demo-declined")
    person.is_told("The payment was declined. The unit stays reserved until the time to pay is over; try another way.")
    person.pay()
    person.sees("Your order")


def test_a_buyer_pays_by_a_qr_code_and_the_order_page_shows_it_by_itself(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    called(person)
    person.reserve()
    person.pay(instrument="")
    person.sees("Your order")
    expect(page.locator("svg.qr")).to_be_visible()
    expect(page.locator("[data-clock]")).to_have_text(re.compile(r"^1[0-9]:[0-5][0-9]$"))
    assert person.barriers() == []
    attempt = PaymentAttempt.objects.get(reservation__sale=person.sale)
    DemoProvider().pay(reference=attempt.reference)
    send_notification(reference=attempt.reference, site=shop.url)
    expect(page.locator(".pill")).to_have_text(person.word("Confirmed"), timeout=SOON_MS)
    expect(page.locator("svg.qr")).to_have_count(0)


def test_a_buyer_copies_the_number_of_a_virtual_account(shop: Site, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person = Person(shop, page, own_page_sale())
    called(person)
    person.reserve()
    person.pay(method="va", instrument="")
    page.get_by_role("button", name=person.word("Copy the number")).click()
    expect(page.locator("#copied")).to_have_text(person.word("Copied"))
    attempt = PaymentAttempt.objects.get(reservation__sale=person.sale)
    assert page.evaluate("navigator.clipboard.readText()") == attempt.instructions["number"]


def test_a_wrong_code_says_so(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    person.come()
    person.ask_for_codes()
    right = shop.code_for(person.number)
    page.fill("#code-phone", "000000" if right != "000000" else "111111")
    page.fill("#code-email", shop.code_for(person.email))
    page.click("#prove button")
    person.is_told("The phone code is wrong or expired. Use the newest message.")
    expect(page.locator("#code-phone")).to_be_focused()
    person.type_codes()
    person.sees("You are in line")


def test_a_shopper_who_leaves_may_come_back(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    page.on("dialog", lambda dialog: dialog.accept())
    person.come()
    person.enter()
    page.click("#leave")
    person.sees("You have left the line")
    page.click("#again")
    person.sees("You are in line")


def test_the_page_says_that_a_turn_has_passed(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale(claim_s=2))
    person.come()
    person.enter()
    open_now(person.sale)
    tend(person.sale)
    person.looks_up()
    person.sees("Your turn has passed")
    expect(page.locator("#last-number dd")).to_have_text(["1", "1"])


def test_the_page_says_that_a_hold_has_expired(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale(hold_s=3))
    called(person)
    person.reserve()
    person.sees("Reserved for you")
    person.sees("The time to pay is over")


def test_the_page_shows_a_pause_and_the_place_is_kept(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    called(person)
    pause(sale=person.sale, message="Server dirawat.")
    person.looks_up()
    person.sees("The sale is paused")
    expect(page.locator("#message")).to_have_text("Server dirawat.", timeout=SOON_MS)
    resume(sale=person.sale)
    person.looks_up()
    person.sees("It is your turn")


def test_the_page_says_that_all_is_sold(shop: Site, page: Page) -> None:
    sale = own_page_sale(stock={PHONE: 1})
    person = Person(shop, page, sale)
    called(person)
    person.reserve()
    person.pay()
    person.sees("Your order")
    page.context.clear_cookies()
    page.evaluate("localStorage.clear()")
    person.come()
    person.sees("Sold out")
    expect(page.locator("#last-number")).to_be_hidden()


def test_a_buyer_pays_on_a_second_device_and_finds_the_order_on_a_third(
    shop: Site, page: Page, browser: Browser
) -> None:
    laptop = Person(shop, page, own_page_sale(stock={PHONE: 1}))
    called(laptop)
    laptop.reserve()
    laptop.sees("Reserved for you")
    with other_device(laptop, browser) as phone:
        phone.come()
        phone.ask_for_codes()
        phone.type_codes()
        phone.sees("Reserved for you")
        phone.pay()
        phone.sees("Your order")
    close_early(sale=laptop.sale)
    with other_device(laptop, browser) as tablet:
        tablet.come()
        tablet.sees("The sale is over")
        tablet.page.click("#bought")
        tablet.ask_for_codes()
        tablet.type_codes()
        tablet.sees("You have bought")
        assert tablet.barriers() == []
        tablet.page.click("#order")
        tablet.sees("Your order")
    page.reload()
    laptop.sees("You have bought")


@contextmanager
def other_device(person: Person, browser: Browser) -> Iterator[Person]:
    """The same person with another browser, so much later that the pause between codes is over."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as counters:
        counters.delete(*counters.scan_iter("limits:*"))
    context = browser.new_context(viewport={"width": 360, "height": 640}, locale="id-ID")
    yield Person(person.site, context.new_page(), person.sale, language=person.language)
    context.close()


def test_people_behind_see_their_number_and_how_many_are_ahead(shop: Site, page: Page) -> None:
    sale = own_page_sale(stock={PHONE: 1})
    for n in range(30):
        Shopper(sale, f"other-{n}", channel="mi.com").enter()
    open_now(sale)
    person = Person(shop, page, sale)
    person.come()
    person.enter()
    expect(page.locator(".number")).to_have_text("31")
    expect(page.locator("[data-when=drawn] [data-n=ahead]")).to_have_text("29", timeout=SOON_MS)
    expect(page.locator("#announcement")).to_have_text(
        person.word("People ahead of you: about {n}").replace("{n}", "30")
    )
    assert page.title().startswith("(29) ")
    assert person.barriers() == []


def test_the_page_shows_a_lost_connection_and_recovers(shop: Site, page: Page, browser: Browser) -> None:
    context = browser.new_context(locale="id-ID")
    own = context.new_page()
    person = Person(shop, own, own_page_sale())
    person.come()
    person.enter()
    requests = []

    def busy(route: Route) -> None:
        requests.append(route)
        route.fulfill(status=503, headers={"Retry-After": "Wed, 27 Jan 2021 10:00:00 GMT"}, body="<h1>Busy</h1>")

    own.route("**/status", busy)
    person.looks_up()
    own.wait_for_timeout(1500)
    assert len(requests) == 1
    own.unroute("**/status")
    context.set_offline(True)
    own.evaluate("dispatchEvent(new Event('online'))")
    person.is_told("No connection. Your place is safe; we keep trying.")
    context.set_offline(False)
    person.is_told("")
    person.sees("You are in line")
    context.close()


def test_the_draw_is_checked_in_the_browser(shop: Site, page: Page) -> None:
    sale = own_page_sale()
    others = [Shopper(sale, f"other-{n}", channel="mi.com") for n in range(4)]
    for other in others:
        other.enter()
    person = Person(shop, page, sale)
    called(person)
    taken = {bridge.run(look(card=other.card, line=other.line, place=other.place)).number for other in others}
    page.locator("summary").click()
    page.click("#check")
    true = person.word("Checked: the fingerprint fits, and your number {n} follows from it.")
    expect(page.locator("#checked")).to_have_text(true.replace("{n}", str(min({1, 2, 3, 4, 5} - taken))))
    page.route("**/transcript", lambda route: route.fulfill(status=429, json={"title": "Come again."}))
    page.click("#check")
    person.is_told("Come again.")
    sale.refresh_from_db()
    chosen = lottery.transcript(sale=sale.code, secret=sale.draw_secret(), cohorts={"mi.com": 5}, beacon=b"chosen")
    lies: list[dict[str, Any]] = [{"secret": "00" * 32}, {"lines": {}}, chosen]
    for lie in lies:
        page.unroute_all()
        page.route("**/transcript", partial(_forge, lie))
        page.reload()
        page.locator("summary").click()
        page.click("#check")
        expect(page.locator("#checked")).to_have_class("bad")


def _forge(lie: dict[str, Any], route: Route) -> None:
    route.fulfill(json=route.fetch().json() | lie)


def test_extra_time_makes_a_turn_twice_as_long(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    person.come()
    person.enter()
    page.click("#extra-time")
    expect(page.locator("#extra-time")).to_have_text(person.word("Your turn will last twice as long."))
    person.is_called()
    expect(page.locator("[data-step=offer] .clock")).to_have_text(re.compile("^(10:00|09:)"))
