"""The line on a merchant's page: it shows line and place, follows our rules of asking, and needs little of the page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation
from playwright.sync_api import Page, expect

from flashsale.life import sale_control
from flashsale.web.hot import partners
from flashsale.web.pages import texts
from tests.browser.merchant import Merchant, merchant_of
from tests.browser.person import Person
from tests.browser.site import Site
from tests.factories import lobby_sale, open_now, poco_campaign, tend
from tests.web.partner import Partner, key_of

pytestmark = pytest.mark.browser
RULES = Path(__file__).parents[1] / "rules"
DRAWS = json.loads((RULES / "draw-vectors.json").read_text(encoding="utf-8"))
POLLS = json.loads((RULES / "estimate-vectors.json").read_text(encoding="utf-8"))["poll"]
SOON_MS = 120_000


@pytest.fixture
def merchant(shop: Site) -> Iterator[Merchant]:
    with merchant_of(shop.url) as found:
        yield found


def partner_of(merchant: Merchant, **fields: Any) -> Partner:
    """A partner's sale in its lobby. Our server knows the merchant's site as one that may show the line."""
    channels = [{"code": "lazada", "name": "Lazada", "frame_origins": merchant.url}]
    sale = lobby_sale(poco_campaign(channels=channels), opens_in_s=600, **fields)
    partners.forget_keys()
    return Partner(key_of(sale.campaign, "lazada"), sale, "lazada")


def word(text: str, language: str = "id") -> str:
    with translation.override(language):
        return translation.gettext(text)


def facts(page: Page) -> dict[str, str]:
    """The figures that the Indonesian element shows, by the English of their names."""
    with translation.override("en"):
        english = {word(text): text for text in texts.snippet().values()}
    names, values = (page.locator(f"flashsale-line {tag}:not([hidden])").all_text_contents() for tag in ("dt", "dd"))
    return {english[name]: value for name, value in zip(names, values, strict=True)}


def shows(page: Page, name: str) -> None:
    """Waits until the Indonesian element shows this figure."""
    expect(page.locator("flashsale-line dt", has_text=word(name)).first).to_be_visible(timeout=SOON_MS)


def sees(page: Page, role: str, text: str, language: str = "id") -> None:
    """Waits until a live region of the element has this text."""
    told = page.locator(f"flashsale-line [role={role}]").filter(has_text=word(text, language))
    expect(told).to_have_count(1, timeout=SOON_MS)


def look_up(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('pageshow'))")


def test_a_shopper_sees_line_and_place_from_the_lobby_to_the_turn(merchant: Merchant, page: Page) -> None:
    partner = partner_of(merchant, rate_per_s=5)
    merchant.place = partner.enter("ani")
    for name in ("budi", "citra"):
        partner.enter(name)
    merchant.shows(partner, 'place="/place"', '<a href="https://shop.example">Toko</a>')
    page.goto(merchant.url)
    sees(page, "status", "You take part in the draw at the opening.")
    shown = facts(page)
    opens = shown.pop("Sale opens in")
    assert opens[:2] in {"09", "10"}
    assert shown == {"Your ticket": "1", "People in the line": "3", "Units free": "10"}
    assert (merchant.looks, page.locator("flashsale-line > a").count()) == (1, 1)
    open_now(partner.sale)
    look_up(page)
    shows(page, "Your number")
    number = partner.post("look", {"place": merchant.place}).json["number"]
    assert facts(page)["Your number"] == str(number)
    tend(partner.sale)
    look_up(page)
    sees(page, "alert", "It is your turn now!")
    assert facts(page)["Time left to reserve"] >= "04:30"
    held = partner.reserve(merchant.place)
    assert held.status == 201
    page.evaluate("document.querySelector('flashsale-line').setAttribute('place', '/place')")
    sees(page, "status", "Your place has been used")
    expect(page.locator("flashsale-line [role=alert]")).to_have_text("")


def test_it_speaks_english_and_has_no_barrier(merchant: Merchant, shop: Site, page: Page) -> None:
    partner = partner_of(merchant)
    merchant.language = "en-GB"
    merchant.place = partner.enter("ani")
    merchant.shows(partner, 'place="/place"')
    page.goto(merchant.url)
    sees(page, "status", "You take part in the draw at the opening.", "en")
    person = Person(shop, page, partner.sale)
    assert (person.overflow(), person.barriers()) == (0, [])
    for _drawn_then_called in range(2):
        open_now(partner.sale)
        tend(partner.sale)
    look_up(page)
    sees(page, "alert", "It is your turn now!", "en")
    assert person.barriers() == []
    sale_control.pause(sale=partner.sale, message="Back at noon.")
    look_up(page)
    sees(page, "status", "Back at noon.")
    assert page.locator("flashsale-line p").first.text_content() == "Paused"


def test_a_ticket_is_enough_for_the_number(merchant: Merchant, page: Page) -> None:
    partner = partner_of(merchant)
    places = [partner.enter(name) for name in ("ani", "budi", "citra")]
    for _drawn_then_called in range(2):
        open_now(partner.sale)
        tend(partner.sale)
    merchant.shows(partner, 'index="2"')
    page.goto(merchant.url)
    sees(page, "alert", "It is your turn now!")
    number = partner.post("look", {"place": places[1]}).json["number"]
    assert (facts(page)["Your number"], "Time left to reserve" in facts(page)) == (str(number), False)
    assert merchant.looks == 0


def test_it_asks_as_the_vectors_say_and_draws_as_the_server_does(merchant: Merchant, page: Page) -> None:
    merchant.shows(partner_of(merchant))
    page.goto(merchant.url)
    waits = page.evaluate(
        """(cases) => cases.map((c) => customElements.get("flashsale-line").nextPoll(c.status, c, c.now, c.random))""",
        POLLS,
    )
    assert waits == pytest.approx([case["next_ms"] for case in POLLS], abs=1)
    numbers = page.evaluate(
        """async (cases) => Promise.all(cases.map(async (c) => Object.fromEntries(await Promise.all(
            Object.keys(c.numbers).map(async (index) => [
                index, await customElements.get("flashsale-line").numberOf(Number(index), c.cohort, c.seed)])))))""",
        DRAWS["cases"],
    )
    assert numbers == [case["numbers"] for case in DRAWS["cases"]]


def test_it_keeps_on_without_a_connection_and_ends_with_the_element(merchant: Merchant, page: Page) -> None:
    partner = partner_of(merchant)
    merchant.shows(partner)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/status") else None)
    page.goto(merchant.url)
    shows(page, "Units free")
    page.route("**/status", lambda route: route.abort())
    for _failure in range(2):
        look_up(page)
        page.wait_for_event("requestfailed")
    sees(page, "status", "No connection. Your place is safe; we keep trying.")
    page.unroute("**/status")
    look_up(page)
    lost = page.locator("flashsale-line", has_text=word("No connection. Your place is safe; we keep trying."))
    expect(lost).to_have_count(0, timeout=SOON_MS)
    page.evaluate("window.kept = document.querySelector('flashsale-line'); kept.remove()")
    before = len(asked)
    look_up(page)
    page.wait_for_timeout(300)
    assert (len(asked), page.evaluate("kept.children.length")) == (before, 0)
    page.evaluate("document.querySelector('main').append(kept)")
    shows(page, "Units free")
    assert len(asked) == before + 1


def test_a_frame_shows_the_line_to_the_sites_of_the_channel_only(merchant: Merchant, page: Page) -> None:
    partner = partner_of(merchant)
    partner.enter("ani")
    address = f"{merchant.line}/s/{partner.sale.code}/embed?line=lazada&ticket=1&lang=en"
    merchant.body = f'<iframe src="{address}" title="The line" width="320" height="480"></iframe>'
    page.goto(merchant.url)
    framed = page.frame_locator("iframe").locator("flashsale-line")
    expect(framed.locator("dt", has_text="Your ticket")).to_be_visible(timeout=SOON_MS)
    assert page.context.cookies() == []


def test_another_site_cannot_frame_the_line(merchant: Merchant, page: Page, browser: Any) -> None:
    partner = partner_of(merchant)
    merchant.body = f'<iframe src="{merchant.line}/s/{partner.sale.code}/embed?line=lazada" title="The line"></iframe>'
    context = browser.new_context()
    other, told = context.new_page(), []
    other.on("console", lambda message: told.append(message.text))
    other.goto(merchant.other)
    other.wait_for_timeout(300)
    assert other.frame_locator("iframe").locator("flashsale-line").count() == 0
    assert any("frame-ancestors" in text for text in told)
    context.close()
