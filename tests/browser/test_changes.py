"""Changes while a page stays open: other people buy, the sale is postponed, the line rolls over."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from flashsale.life.sale_control import postpone
from flashsale.rules.identity import Axis
from tests.browser.person import SOON_MS, Person, called, own_page_sale
from tests.browser.site import Site
from tests.factories import PHONE, Shopper, lobby_sale, open_now, roll_over_now, tend

pytestmark = pytest.mark.browser


def test_units_that_others_only_hold_do_not_show_as_sold(shop: Site, page: Page) -> None:
    sale = own_page_sale(stock={PHONE: 1}, overbooking=2)
    other = Shopper(sale, "other", channel="mi.com")
    other.enter()
    person = Person(shop, page, sale)
    called(person)
    page.locator("[name=sku]").first.check()
    page.route("**/status", lambda route: route.abort())
    other.reserve()
    page.click("#reserve button")
    person.is_told("No unit is free now.")
    person.sees("It is your turn")


def test_a_postponed_sale_no_longer_shows_the_old_times(shop: Site, page: Page) -> None:
    person = Person(shop, page, own_page_sale())
    person.come()
    expect(page.locator("[data-when=timely]")).to_be_visible()
    postpone(sale=person.sale, opens_at=person.sale.opens_at + timedelta(hours=3), message="Besok.")
    person.looks_up()
    expect(page.locator("#message")).to_have_text("Besok.", timeout=SOON_MS)
    expect(page.locator("[data-when=timely]")).to_be_hidden()
    expect(page.locator("[data-step=enter] [data-clock]")).to_have_text(re.compile("^03:0"))


def test_when_a_line_has_rolled_over_the_page_says_so_and_people_may_enter_the_next(shop: Site, page: Page) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    opens = timezone.now() + timedelta(minutes=10)
    listed = [(Axis.EMAIL, f"{name}@example.com") for name in ("ani", "other")]
    lines = [
        {"code": "first", "channels": ["mi.com"], "stock": {PHONE: 1}, "listed": listed, "successor": "public",
         "rolls_over_at": opens + timedelta(minutes=5)},
        {"code": "public", "channels": ["mi.com"], "stock": {PHONE: 0}},
    ]  # fmt: skip
    sale = lobby_sale(lines=lines, opens_at=opens, closes_at=opens + timedelta(hours=1))
    other = Shopper(sale, "other", channel="mi.com", line="first")
    other.enter()
    open_now(sale)
    tend(sale)
    assert other.look().state == "called"
    person = Person(shop, page, sale)
    page.goto(f"{shop.url}/s/{sale.code}/?line=first")
    person.enter()
    words = "Unclaimed units of this line have gone to the next line. To enter that line, leave this one first."
    notice = page.get_by_text(person.word(words))
    expect(notice).to_be_hidden()
    roll_over_now(sale)
    person.looks_up()
    expect(notice).to_be_visible(timeout=SOON_MS)
    expect(page.locator("[data-when=drawn] [data-n=chance]")).to_have_text("0 %")
    page.click("#leave")
    page.click("#enter button", timeout=SOON_MS)
    person.sees("You are in line")
    # The unit of the called place in the first line may still roll over.
    expect(page.locator("[data-when=drawn] [data-n=chance]")).to_have_text("–")
    assert page.locator("#script-data").evaluate("script => JSON.parse(script.textContent).line") == "public"
