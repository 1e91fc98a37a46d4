"""A shopper at the page: reads headings in their language, types and clicks."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from django.utils import translation
from playwright.sync_api import Page, expect

from flashsale.models import Sale
from flashsale.rules.identity import Axis, canonical_value
from tests.browser.site import Site
from tests.factories import lobby_sale, open_now, tend

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SOON_MS = 120_000


class Person:
    """A shopper with a phone number and an e-mail address, at the waiting page of a sale."""

    def __init__(self, site: Site, page: Page, sale: Sale, *, language: str = "id", name: str = "ani") -> None:
        self.site, self.page, self.sale, self.language = site, page, sale, language
        self.phone = f"0812 3456 {sum(map(ord, name)):04d}"
        self.email = f"{name}@example.com"

    @property
    def number(self) -> str:
        """The phone number in canonical form, as messages are addressed to it."""
        return canonical_value(Axis.PHONE, self.phone)

    def word(self, text: str) -> str:
        """The translation of a text to this person's language."""
        with translation.override(self.language):
            return translation.gettext(text)

    def come(self) -> None:
        self.page.goto(f"{self.site.url}/s/{self.sale.code}/")
        if self.language != "id":
            self.page.locator(f"[name=language][value={self.language}]").click()

    def ask_for_codes(self) -> None:
        self.page.fill("#phone", self.phone)
        self.page.fill("#email", self.email)
        before = {to: self.site.codes_for(to) for to in (self.number, self.email)}
        self.page.click("#contacts button")
        self.sees("Type the codes")
        for to, codes in before.items():
            self.site.code_for(to, unlike=codes)

    def type_codes(self) -> None:
        self.page.fill("#code-phone", self.site.code_for(self.number))
        self.page.fill("#code-email", self.site.code_for(self.email))
        self.page.click("#prove button")

    def enter(self) -> None:
        self.ask_for_codes()
        self.type_codes()
        self.sees("You are in line")

    def looks_up(self) -> None:
        """Comes back to the tab, so that the page polls at once."""
        self.page.evaluate("dispatchEvent(new Event('pageshow'))")

    def is_called(self) -> None:
        """Opens the sale and waits for this person's turn."""
        open_now(self.sale)
        tend(self.sale)
        self.looks_up()
        self.sees("It is your turn")

    def reserve(self) -> None:
        self.page.locator("[name=sku]:enabled").first.check()
        self.page.click("#reserve button")

    def pay(self, *, method: str = "qris", instrument: str = "ani-bank") -> None:
        self.page.fill("#name", "Ani Lestari")
        self.page.fill("#address", "Jl. Melati No. 7, RT 01/RW 02, Bandung")
        self.page.fill("#buyer-phone", self.phone)
        self.page.fill("#buyer-email", self.email)
        self.page.locator(f"[name=method][value={method}]").check()
        self.page.fill("#instrument", instrument)
        self.page.click("#pay button")

    def sees(self, heading: str) -> None:
        """Waits until the heading is visible."""
        shown = self.page.get_by_role("heading", name=self.word(heading), exact=True)
        expect(shown).to_be_visible(timeout=SOON_MS)

    def is_told(self, text: str) -> None:
        """Waits until the alert has this text."""
        expect(self.page.locator("#alert")).to_have_text(self.word(text), timeout=SOON_MS)

    def is_alerted(self, text: str) -> None:
        """Waits until a page that the server rendered has this alert."""
        expect(self.page.get_by_role("alert")).to_have_text(self.word(text), timeout=SOON_MS)

    def barriers(self) -> list[str]:
        """Accessibility faults of the page, by the rules of WCAG 2.2 AA."""
        found = Axe().run(self.page, options=RULES).response["violations"]
        return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def own_page_sale(**fields: Any) -> Sale:
    """A sale on our own page whose lobby is open; it opens in ten minutes."""
    return lobby_sale(channels=("mi.com",), opens_in_s=600, **fields)


def called(person: Person) -> None:
    """Brings a shopper from the first page to their turn."""
    person.come()
    person.enter()
    person.is_called()
