"""The desk of support in a browser: from a phone number to the story of an order, on a desktop and on a phone.

FLASHSALE_PICTURES=docs/images python -m pytest tests/browser/test_support.py
"""

import os
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from flashsale.life import notify, person_requests
from flashsale.models import Channel, Record
from flashsale.rules.identity import Axis
from tests.admin.orders import buy
from tests.factories import PHONE, identity, lobby_sale

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WAIT_MS = 60_000
SCREENS = {"desktop": ({"width": 1280, "height": 900}, "en-GB"), "phone": ({"width": 360, "height": 740}, "id-ID")}


def _picture(page: Page, name: str) -> None:
    folder = os.environ.get("FLASHSALE_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def _faults(page: Page) -> list[str]:
    """Serious accessibility faults, and whether the page is wider than the screen."""
    broken = Axe().run(page).response["violations"]
    found = [
        f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in broken if rule["impact"] in {"serious", "critical"}
    ]
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return [*found, *(["the page is wider than the screen"] if wide else [])]


@pytest.mark.parametrize("screen", SCREENS)
def test_a_caller_is_found_and_the_order_is_read_by_keyboard(browser: Browser, site: Any, screen: str) -> None:
    sale = lobby_sale(stock={PHONE: 3})
    Channel.objects.update(order_letters=True)
    buy(sale, ["ani", "budi"])
    notify.send_due()
    root = User.objects.create_superuser("root", password="correct horse battery")
    person_requests.take(
        kind="export", values={"phone": identity("budi")[Axis.PHONE]}, proof="code",
        received_at=sale.lobby_at, by=root,
    )  # fmt: skip
    size, locale = SCREENS[screen]
    context = browser.new_context(viewport=size, locale=locale, reduced_motion="reduce")  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(f"{site.url}/admin/login/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/admin/")
    page.goto(f"{site.url}/admin/flashsale/reservation/support/")
    page.focus("#id_typed")
    page.keyboard.type(identity("ani")[Axis.PHONE])
    page.select_option("#id_why", "order")
    page.focus("#id_typed")
    page.keyboard.press("Enter")
    links = page.locator("table.facts a")
    expect(links).to_have_count(1, timeout=WAIT_MS)
    assert page.url.endswith("/support/"), "the address has no value of the person"
    _picture(page, f"support-{screen}")
    assert errors == []
    found = _faults(page)
    errors.clear()  # the checker itself sets inline styles, which the policy forbids
    links.first.press("Enter")
    expect(page.locator("ol.story li").first).to_be_visible(timeout=WAIT_MS)
    assert page.locator("ol.story li").count() >= 6
    assert "Jl. Mawar" not in page.content()
    _picture(page, f"order-story-{screen}")
    assert errors == []
    found += _faults(page)
    errors.clear()
    page.select_option("#id_why", "letter")
    page.locator("#id_why").locator("xpath=ancestor::form//button").press("Enter")
    expect(page.locator("body")).to_contain_text("Jl. Mawar", timeout=WAIT_MS)
    assert Record.objects.filter(what="read_contact").count() == 1
    for address in ("reservation/exports/", "personrequest/add/", "personrequest/"):
        page.goto(f"{site.url}/admin/flashsale/{address}")
        assert errors == [], address
        found += [f"{address} {fault}" for fault in _faults(page)]
        errors.clear()
    context.close()
    assert found == [], "\n".join(found)
