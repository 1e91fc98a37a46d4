"""A rehearsal from its button to its report, in a browser that reloads the page by itself, and on a phone.

With FLASHSALE_PICTURES=docs/images the report becomes two pictures.
"""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import override
from playwright.sync_api import Browser
from pytest_django import Settings

from flashsale.life import rehearse
from flashsale.models import Rehearsal
from tests.browser.site import Site
from tests.factories import draft_sale, poco_campaign

pytestmark = pytest.mark.browser
PATIENCE_S = 240.0
PICTURES = "FLASHSALE_PICTURES"
SIZES = {"rehearsal": (1100, 900), "rehearsal-phone": (360, 740)}


def test_the_button_sends_a_crowd_and_the_page_shows_the_report(
    browser: Browser, shop: Site, settings: Settings
) -> None:
    settings.FLASHSALE_REHEARSAL_URL = shop.url
    sale = draft_sale(poco_campaign(), channels=("lazada", "mi.com"), claim_s=4, opens_in_s=86_400)
    # The database belongs to all tests of this file, and to a second try of this one.
    root = User.objects.create_superuser(f"root-{sale.pk}")
    client = Client(headers={"accept-language": "en"})
    client.force_login(root)
    button = f"/admin/flashsale/sale/rehearse/?id={sale.pk}"
    text = client.get(button).content.decode()
    assert "No real unit is sold" in text
    assert shop.url in text
    terms = {"people": 60, "no_shows": 10, "speed": 30, "minutes": 1}
    started = client.post(button, terms)
    row = Rehearsal.objects.latest("pk")
    page_path = f"/admin/flashsale/rehearsal/{row.pk}/change/"
    assert started["Location"] == page_path
    assert client.get(page_path)["Refresh"] == "3"

    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1100, "height": 900}, locale="en-GB")
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": shop.url}])
    page = context.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(f"{shop.url}{page_path}")
    until = time.monotonic() + PATIENCE_S
    while page.get_by_text("What limits the sale").count() == 0:
        assert time.monotonic() < until, page.content()
        rehearse.sweep()
        page.wait_for_timeout(500)
    assert complaints == []
    with override("en"):
        assert "All promises held." in page.content()
    found: Any = Axe().run(page).response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] in {"serious", "critical"}] == []
    for picture, (width, height) in SIZES.items():
        # Not loaded again: the page that refreshes itself would end that.
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if folder := os.environ.get(PICTURES):
            page.screenshot(path=Path(folder) / f"{picture}.png", full_page=True)
    context.close()
    row.refresh_from_db()
    assert (row.state, row.asked_by, row.figures is not None) == ("ended", root, True)
    assert "Refresh" not in client.get(page_path)
