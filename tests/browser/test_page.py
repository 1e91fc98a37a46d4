"""The waiting page: its size, its layout on small screens, and its content without JavaScript."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.browser.person import Person
from tests.browser.site import Site, weight
from tests.factories import lobby_sale

pytestmark = pytest.mark.browser
RULES = Path(__file__).parents[1] / "rules"
VECTORS = json.loads((RULES / "draw-vectors.json").read_text(encoding="utf-8"))
ESTIMATES = json.loads((RULES / "estimate-vectors.json").read_text(encoding="utf-8"))
PAGE_BYTES = 14 * 1024
SCRIPT_BYTES = 6 * 1024


def test_the_whole_page_fits_into_fourteen_kilobytes(shop: Site, page: Page) -> None:
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - Playwright reads the number of arguments
    Person(shop, page, lobby_sale(channels=("mi.com",), opens_in_s=600)).come()
    page.wait_for_load_state("networkidle")
    weights = {answer.url: weight(answer.body()) for answer in answers if "/status" not in answer.url}
    assert {url.partition("/")[0] for url in weights} == {"http:"}
    assert all(url.startswith(shop.url) for url in weights)
    scripts = sum(size for url, size in weights.items() if url.endswith(".js"))
    assert scripts <= SCRIPT_BYTES
    assert sum(weights.values()) <= PAGE_BYTES


def test_the_browser_draws_as_the_server_does(shop: Site, page: Page) -> None:
    Person(shop, page, lobby_sale(channels=("mi.com",), opens_in_s=600)).come()
    drawn = page.evaluate(
        """async (cases) => Promise.all(cases.map(async (c) => ({
            commitment: await draw.commitment(c.secret),
            seed: await draw.seed(c.secret, c.line, c.cohort, c.beacon),
            numbers: Object.fromEntries(await Promise.all(Object.keys(c.numbers).map(
              async (index) => [index, await draw.number(Number(index), c.cohort, c.seed)]))),
        })))""",
        VECTORS["cases"],
    )
    expected = [{name: case[name] for name in ("commitment", "seed", "numbers")} for case in VECTORS["cases"]]
    assert drawn == expected


def test_the_browser_estimates_as_the_vectors_say(shop: Site, page: Page) -> None:
    Person(shop, page, lobby_sale(channels=("mi.com",), opens_in_s=600)).come()
    shown = page.evaluate(
        """({ chance: chances, wait: waits, poll: polls }) => {
            const { chance, wait, nextPoll } = page({ sale: "x", language: "en", currency: "IDR", texts: {} });
            return {
              chance: chances.map((c) => chance({ ...c, entered: 1 }, c.ahead)),
              wait: waits.map((c) => wait(c, c.ahead, c.calls_per_s / 1000)),
              poll: polls.map((c) => nextPoll(c.status, c, c.now, c.random)),
            };
        }""",
        ESTIMATES,
    )
    assert shown["chance"] == [f"{100 * case['chance']:.0f} %" for case in ESTIMATES["chance"]]
    assert shown["poll"] == pytest.approx([case["next_ms"] for case in ESTIMATES["poll"]], abs=1)
    for case, wait in zip(ESTIMATES["wait"], shown["wait"], strict=True):
        # The vectors are rounded up to a whole millisecond.
        assert wait == (False if case["wait_ms"] is None else pytest.approx(case["wait_ms"], abs=1)), case


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_smallest_phone_shows_all_of_it(shop: Site, page: Page, scheme: Any) -> None:
    page.set_viewport_size({"width": 320, "height": 568})
    page.emulate_media(color_scheme=scheme)
    person = Person(shop, page, lobby_sale(channels=("mi.com",), opens_in_s=600))
    page.goto(shop.url)
    assert (person.overflow(), person.barriers()) == (0, [])
    person.come()
    assert (person.overflow(), person.barriers()) == (0, [])
    page.locator("summary").click()
    assert (person.overflow(), person.barriers()) == (0, [])
    person.enter()
    assert (person.overflow(), person.barriers()) == (0, [])
    page.goto(f"{shop.url}/outbox")
    assert (person.overflow(), person.barriers()) == (0, [])
    person.come()
    person.is_called()
    assert (person.overflow(), person.barriers()) == (0, [])
    person.reserve()
    person.sees("Reserved for you")
    assert (person.overflow(), person.barriers()) == (0, [])
    person.pay()
    person.sees("Your order")
    assert (person.overflow(), person.barriers()) == (0, [])


def test_the_line_can_be_walked_with_the_keyboard_alone(shop: Site, page: Page) -> None:
    person = Person(shop, page, lobby_sale(channels=("mi.com",), opens_in_s=600))
    person.come()
    page.focus("#phone")
    page.keyboard.type(person.phone)
    page.keyboard.press("Tab")
    page.keyboard.type(person.email)
    page.keyboard.press("Enter")
    person.sees("Type the codes")
    assert page.evaluate("document.activeElement.tagName") == "H2"
    page.keyboard.press("Tab")
    page.keyboard.type(shop.code_for(person.number))
    page.keyboard.press("Tab")
    page.keyboard.type(shop.code_for(person.email))
    page.keyboard.press("Enter")
    person.sees("You are in line")


def test_without_script_the_page_reloads_itself(shop: Site, page: Page, browser: Browser) -> None:
    person = Person(shop, page, lobby_sale(channels=("mi.com",), opens_in_s=600))
    person.come()
    person.enter()
    context = browser.new_context(java_script_enabled=False, locale="id-ID")
    cookies: list[Any] = [*page.context.cookies()]
    context.add_cookies(cookies)
    plain = context.new_page()
    plain.goto(page.url)
    assert re.search(r'<meta http-equiv="refresh" content="20"', plain.content())
    expect(plain.locator("noscript .card")).to_contain_text(person.word("You take part in the draw at the opening."))
    context.close()
