"""A buyer pays on a phone, through a simulated gateway. With FLASHSALE_PICTURES the pages become pictures:

FLASHSALE_PICTURES=docs/images python -m pytest tests/browser/test_paying_on_a_phone.py
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from flashsale.models import PaymentAttempt, Reservation
from simulation.gateways.client import Gateway, Sums
from tests.browser.person import SOON_MS, Person, called, own_page_sale
from tests.browser.site import Site, serving

pytestmark = pytest.mark.browser
ONE_LINE_PX = 40
MIDTRANS = "flashsale.providers.payments.midtrans.Midtrans"


@pytest.fixture
def site(transactional_db: None, gate: object, midtrans: Gateway, tmp_path: Path) -> Iterator[Site]:
    """A server whose payments go to the simulated Midtrans; the shop offers three of its methods."""
    with serving(
        tmp_path,
        DJANGO_SETTINGS_MODULE="config.settings",  # without the demo's links
        FLASHSALE_PAYMENT_PROVIDER=MIDTRANS,
        FLASHSALE_PAYMENT_KEYS=f"midtrans:{midtrans.key}",
        FLASHSALE_PAYMENT_HOSTS=f"midtrans:{midtrans.url}",
        FLASHSALE_PAYMENT_METHODS="midtrans:qris,midtrans:gopay,midtrans:va_bca",
    ) as found:
        midtrans.control.notify(f"{found.url}/v1/payments/midtrans")
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A phone whose pictures are sharp."""
    context = browser.new_context(
        viewport={"width": 360, "height": 640}, device_scale_factor=1.5, locale="id-ID", reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("FLASHSALE_PICTURES")
    if folder:
        end = page.locator("section.card").first.evaluate("card => card.getBoundingClientRect().bottom + scrollY")
        size = {"x": 0.0, "y": 0.0, "width": 360.0, "height": end + 12}
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True, clip=size)  # type: ignore[arg-type]


def begin_to_pay(person: Person, method: str) -> None:
    person.sees("Reserved for you")
    page = person.page
    assert page.locator("[name=method]").evaluate_all("all => all.map(one => one.value)") == ["qris", "gopay", "va_bca"]
    page.fill("#name", "Ani Lestari")
    page.fill("#address", "Jl. Melati No. 7, RT 01/RW 02, Bandung")
    page.fill("#buyer-phone", person.phone)
    page.fill("#buyer-email", person.email)
    page.locator(f"[name=method][value={method}]").check()
    page.click("#pay button")
    person.sees("Your order")
    assert (person.barriers(), person.overflow()) == ([], 0)


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_buyer_sees_an_account_number_then_a_qr_code_and_then_that_the_money_has_come(
    site: Site, page: Page, midtrans: Gateway, language: str
) -> None:
    person = Person(site, page, own_page_sale(), language=language)
    called(person)
    person.reserve()
    begin_to_pay(person, "va_bca")
    number = page.locator("code.account")
    box = number.bounding_box()
    # In one line, so that people can compare it with what they type.
    assert box is not None
    assert box["height"] < ONE_LINE_PX
    assert page.locator("[data-copy]").get_attribute("data-copy") == number.inner_text()
    picture(page, f"paying-va-{language}")

    page.get_by_role("link", name=person.word("Pay another way")).click()
    begin_to_pay(person, "qris")
    expect(page.locator("svg.qr")).to_be_visible()
    picture(page, f"paying-qris-{language}")
    first, second = PaymentAttempt.objects.order_by("number")
    assert (first.state, second.state, Reservation.objects.get().state) == ("closed", "waiting", "held")

    (code,) = midtrans.control.codes(second.reference)
    assert midtrans.control.pay(code.value).accepted
    expect(page.locator(".pill")).to_have_text(person.word("Confirmed"), timeout=SOON_MS)
    expect(page.locator("svg.qr")).to_have_count(0)
    assert (person.barriers(), person.overflow()) == ([], 0)
    picture(page, f"paid-{language}")
    assert Reservation.objects.get().state == "confirmed"
    assert midtrans.control.ledger() == {second.reference: Sums(second.amount, 0)}
