"""A buyer without the cookie, on a small phone: the link in a letter, find my order, and a letter on a dark screen."""

from collections.abc import Iterator

import pytest
from django.utils import translation
from playwright.sync_api import Browser, Page, expect

from flashsale.life import letters, sealed_links
from flashsale.models import Notice, PaymentAttempt, Reservation
from flashsale.providers import payments
from tests.browser.person import SOON_MS, Person, called, own_page_sale
from tests.browser.site import Site
from tests.factories import poco_campaign
from tests.faults.steps import told

pytestmark = pytest.mark.browser


@pytest.fixture
def other_phone(browser: Browser) -> Iterator[Page]:
    """A browser without cookies on a small phone."""
    context = browser.new_context(locale="id-ID", viewport={"width": 320, "height": 640})
    yield context.new_page()
    context.close()


def test_the_link_shows_how_to_pay_on_another_phone_and_follows_the_payment(
    site: Site, page: Page, other_phone: Page
) -> None:
    ani = Person(site, page, own_page_sale())
    called(ani)
    ani.reserve()
    ani.sees("Reserved for you")
    ani.pay(instrument="")
    expect(page.locator("svg.qr")).to_be_visible(timeout=SOON_MS)
    there = Person(site, other_phone, ani.sale)
    other_phone.goto(site.url + sealed_links.path(sealed_links.Kind.ORDER, Notice.objects.get().pk))
    there.sees("Your order")
    expect(other_phone.locator("svg.qr")).to_be_visible(timeout=SOON_MS)
    assert other_phone.url == f"{site.url}/my-order"
    assert (there.barriers(), there.overflow() <= 0) == ([], True)
    reference = PaymentAttempt.objects.get().reference
    payments.DemoProvider().pay(reference=reference)
    assert told(reference) == "paid"
    expect(other_phone.locator(".pill")).to_have_text(there.word("Confirmed"), timeout=SOON_MS)
    assert (there.barriers(), there.overflow() <= 0) == ([], True)


def test_an_order_is_found_on_another_phone_after_a_puzzle_and_a_code(
    site: Site, page: Page, other_phone: Page
) -> None:
    ani = Person(site, page, own_page_sale(campaign=poco_campaign(codes_need_work=True)))
    called(ani)
    ani.reserve()
    ani.sees("Reserved for you")
    ani.pay()
    ani.sees("Cancel this order")
    there = Person(site, other_phone, ani.sale)
    there.come()
    other_phone.get_by_role("link", name=there.word("Find my order")).click()
    there.sees("Find my order")
    assert (there.barriers(), there.overflow() <= 0) == ([], True)
    other_phone.fill("#contact", ani.email)
    other_phone.get_by_role("button", name=there.word("Send the code")).click()
    box = other_phone.get_by_label(there.word("Code sent to your e-mail"))
    expect(box).to_be_visible(timeout=SOON_MS)
    assert (there.barriers(), there.overflow() <= 0) == ([], True)
    box.fill(site.code_for(ani.email))
    other_phone.get_by_role("button", name=there.word("Find my order")).click()
    expect(other_phone.get_by_text(str(Reservation.objects.get().pk)[:8])).to_be_visible(timeout=SOON_MS)
    assert (there.barriers(), there.overflow() <= 0) == ([], True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_html_part_of_a_letter_can_be_read_on_a_light_and_a_dark_screen(
    site: Site, page: Page, other_phone: Page, scheme: str
) -> None:
    ani = Person(site, page, own_page_sale())
    called(ani)
    ani.reserve()
    ani.sees("Reserved for you")
    ani.pay()
    ani.sees("Cancel this order")
    notice = Notice.objects.select_related("reservation__channel", "sale__campaign").get()
    ((html, _),) = letters.compose(notice).alternatives
    requests: list[str] = []
    other_phone.on("request", lambda asked: requests.append(asked.url))
    other_phone.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    other_phone.set_content(str(html))
    there = Person(site, other_phone, ani.sale)
    with translation.override("id"):
        expect(other_phone.get_by_role("link", name="Lihat pesanan Anda")).to_be_visible()
    background = other_phone.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]
    # A letter has no landmarks and no level-one heading; mail programs add their own.
    faults = [
        line
        for line in there.barriers()
        if line.split(":")[0] not in {"landmark-one-main", "page-has-heading-one", "region"}
    ]
    assert (faults, there.overflow() <= 0, requests) == ([], True, [])
