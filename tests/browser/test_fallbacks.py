"""A page whose script does not run, and a browser that blocks cookies: both say what is wrong and what helps."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from flashsale.web import problems
from tests.browser.person import SOON_MS, Person, own_page_sale
from tests.browser.site import FLAGS, Site
from tests.factories import poco_campaign

pytestmark = pytest.mark.browser
LANGUAGES = ["id", "en"]


@pytest.fixture
def broken(browser: Browser) -> Iterator[Page]:
    """A page whose console may have errors."""
    context = browser.new_context(viewport={"width": 360, "height": 640}, locale="id-ID")
    yield context.new_page()
    context.close()


def says_that_the_script_is_missing(person: Person) -> None:
    text = person.word(
        "The buttons appear when the script of this page has loaded. If this text stays, reload the page. If that does "
        "not help, use another browser: this one may be too old or may block scripts."
    )
    expect(person.page.locator("#loading")).to_be_visible(timeout=SOON_MS)
    expect(person.page.locator("#loading")).to_contain_text(text)
    assert person.barriers() == []
    assert person.overflow() == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_script_that_does_not_load_leaves_a_text(shop: Site, broken: Page, language: str) -> None:
    person = Person(shop, broken, own_page_sale(), language=language)
    broken.route("**/line.js*", lambda route: route.abort())
    person.come()
    says_that_the_script_is_missing(person)
    broken.unroute_all()
    broken.get_by_role("link", name=person.word("Reload the page")).click()
    person.sees("Enter the line")
    expect(broken.locator("#loading")).to_have_count(0)


def test_a_browser_that_cannot_read_the_script_shows_the_text(shop: Site, broken: Page) -> None:
    person = Person(shop, broken, own_page_sale())
    broken.route("**/line.js*", lambda route: route.fulfill(body="too ||| new", content_type="text/javascript"))
    person.come()
    says_that_the_script_is_missing(person)


def test_a_browser_that_lacks_a_function_shows_the_text(shop: Site, broken: Page) -> None:
    broken.add_init_script("delete Object.assign")
    person = Person(shop, broken, own_page_sale())
    person.come()
    says_that_the_script_is_missing(person)


def test_a_campaign_with_a_puzzle_needs_its_script_too(shop: Site, broken: Page) -> None:
    person = Person(shop, broken, own_page_sale(campaign=poco_campaign(codes_need_work=True)))
    broken.route("**/work.js*", lambda route: route.abort())
    person.come()
    says_that_the_script_is_missing(person)


def test_the_text_says_where_a_place_stands(shop: Site, broken: Page) -> None:
    person = Person(shop, broken, own_page_sale())
    person.come()
    person.enter()
    broken.route("**/line.js*", lambda route: route.abort())
    broken.reload()
    says_that_the_script_is_missing(person)
    expect(broken.locator("#loading")).to_contain_text(person.word("You take part in the draw at the opening."))


def test_an_error_of_the_script_is_told(shop: Site, broken: Page) -> None:
    person = Person(shop, broken, own_page_sale())
    person.come()
    broken.evaluate("() => { crypto.getRandomValues = () => { throw new TypeError('broken'); }; }")
    broken.fill("#phone", person.phone)
    broken.fill("#email", person.email)
    broken.click("#contacts button")
    person.is_told("That did not work. Please try again.")


@pytest.fixture(params=LANGUAGES)
def without_cookies(
    shop: Site, browser: Browser, chromium: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Person]:
    """A person whose browser blocks all cookies."""
    folder = tmp_path / "profile" / "Default"
    folder.mkdir(parents=True)
    settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (folder / "Preferences").write_text(json.dumps(settings), encoding="utf-8")
    context = browser.browser_type.launch_persistent_context(
        str(folder.parent), executable_path=chromium, args=FLAGS, locale=request.param
    )
    yield Person(shop, context.pages[0], own_page_sale(), language=request.param, name="blocked")
    context.close()


def test_blocked_cookies_are_named_at_once_and_after_every_press(shop: Site, without_cookies: Person) -> None:
    person, page = without_cookies, without_cookies.page
    page.goto(f"{shop.url}/s/{person.sale.code}/")
    assert page.context.cookies() == []
    text = problems.title(problems.Fault.NO_COOKIE, person.language)
    expect(page.locator("#alert")).to_have_text(text, timeout=SOON_MS)
    page.fill("#phone", person.phone)
    page.fill("#email", person.email)
    with page.expect_response("**/codes") as answered:
        page.click("#contacts button")
    assert (answered.value.status, answered.value.json()["code"]) == (403, "no_cookie")
    expect(page.locator("#alert")).to_have_text(text)
    assert person.email not in [mail.to for mail in shop.mails()]


@pytest.mark.parametrize("verb", ["prove", "enter"])
def test_a_cookie_that_did_not_arrive_is_named(shop: Site, broken: Page, verb: str) -> None:
    person = Person(shop, broken, own_page_sale(), name=f"lost-{verb}")
    person.come()
    person.ask_for_codes()
    kept = broken.context.cookies()

    def drop(route: Route) -> None:
        answer = route.fetch()
        broken.context.clear_cookies()
        broken.context.add_cookies(kept)  # type: ignore[arg-type]
        headers = {name: value for name, value in answer.headers.items() if name != "set-cookie"}
        route.fulfill(response=answer, headers=headers)

    broken.route(f"**/{verb}", drop)
    person.type_codes()
    expect(broken.locator("#alert")).to_have_text(problems.title(problems.Fault.NO_COOKIE, "id"), timeout=SOON_MS)
