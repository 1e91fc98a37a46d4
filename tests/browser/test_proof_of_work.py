"""A browser solves a puzzle before it gets a code, and says so; one that cannot says what helps."""

from pathlib import Path

import pytest
from django.utils import translation
from playwright.sync_api import Page, Route, expect

from flashsale.models import Sale
from flashsale.web.pages import texts
from tests.browser.person import SOON_MS, Person, own_page_sale
from tests.browser.site import Site
from tests.factories import poco_campaign

pytestmark = pytest.mark.browser
SCRIPT_BYTES_MAX = 2000


def told(person: Person, text: str) -> str:
    """A text of work.js in the language of this person."""
    with translation.override(person.language):
        return texts.work()[text]


def sale_with_work() -> Sale:
    return own_page_sale(campaign=poco_campaign(codes_need_work=True))


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_person_waits_for_the_puzzle_and_gets_codes(shop: Site, page: Page, language: str) -> None:
    person = Person(shop, page, sale_with_work(), language=language)
    person.come()
    waiting: list[Route] = []
    page.route("**/puzzle", lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright marks the function
    page.fill("#phone", person.phone)
    page.fill("#email", person.email)
    with page.expect_request("**/puzzle"):
        page.click("#contacts button")
    expect(page.locator("#alert")).to_have_text(told(person, "wait"), timeout=SOON_MS)
    expect(page.locator("#contacts button")).to_be_disabled()
    assert person.barriers() == []
    for _ in range(200):  # the page says that it waits before Playwright has called us
        if waiting:
            break
        page.wait_for_timeout(20)
    (held,) = waiting
    held.continue_()
    person.sees("Type the codes")
    expect(page.locator("#alert")).to_have_text("")
    person.type_codes()
    person.sees("You are in line")


def test_a_second_request_for_codes_solves_a_puzzle_of_its_own(shop: Site, page: Page) -> None:
    person = Person(shop, page, sale_with_work(), name="budi")
    person.come()
    for _again in range(2):
        person.ask_for_codes()
        page.click("#back")
    assert [mail.to for mail in shop.mails()].count(person.email) == 2


def test_a_browser_without_web_crypto_is_told_what_helps_and_asks_for_no_code(shop: Site, page: Page) -> None:
    """As on a page that was opened over plain HTTP."""
    page.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined })")
    person = Person(shop, page, sale_with_work(), name="cici")
    person.come()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.fill("#phone", person.phone)
    page.fill("#email", person.email)
    page.click("#contacts button")
    expect(page.locator("#alert")).to_have_text(told(person, "none"), timeout=SOON_MS)
    assert [url for url in asked if url.endswith(("/codes", "/puzzle"))] == []
    expect(page.locator("#contacts button")).to_be_enabled()


def test_the_script_is_small() -> None:
    script = Path(__file__).parents[2] / "flashsale/static/flashsale/work.js"
    assert len(script.read_bytes()) <= SCRIPT_BYTES_MAX
