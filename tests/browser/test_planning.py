"""A scheduler plans the same sale next week on a desktop, and reads the month on a phone.

With FLASHSALE_PICTURES the pages become pictures:
FLASHSALE_PICTURES=docs/images python -m pytest tests/browser/test_planning.py
"""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from flashsale.life import schedule
from flashsale.models import Campaign, Sale
from tests.browser.site import Site
from tests.factories import draft_sale, poco_campaign

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WIB = ZoneInfo("Asia/Jakarta")
SERIOUS = {"serious", "critical"}


def _page(browser: Browser, site: Site, complaints: list[str], **options: Any) -> Page:
    """A page of a superuser who has logged in."""
    context = browser.new_context(reduced_motion="reduce", **options)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(f"{site.url}/admin/login/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "correct horse battery")
    page.click("input[type=submit]")
    page.wait_for_url(f"{site.url}/admin/")
    return page


def _picture(page: Page, name: str) -> None:
    folder = os.environ.get("FLASHSALE_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def _check(page: Page, complaints: list[str]) -> None:
    """No error in the console, no serious barrier, nothing wider than the screen."""
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page, options={"rules": {"aria-prohibited-attr": {"enabled": False}}}).response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] in SERIOUS] == []
    # The checker itself sets inline styles, which the policy forbids.
    complaints.clear()


def _january(year: int) -> Campaign:
    """Three sales of the campaign, one of them a draft, and a sale of another campaign that clashes."""
    campaign = poco_campaign()

    def sale(campaign: Campaign, name: str, day: int, channels: tuple[str, ...], hour: int = 10) -> Sale:
        opens = datetime(year, 1, day, hour, tzinfo=WIB)
        return draft_sale(
            campaign, name=name, code=name.lower().replace(" ", "-"), channels=channels, opens_at=opens,
            closes_at=opens + timedelta(hours=2),
        )  # fmt: skip

    schedule.publish(sale=sale(campaign, "POCO M3 first", 14, ("lazada", "akulaku")))
    sale(campaign, "POCO M3 again", 21, ("lazada",))
    sale(poco_campaign(name="Redmi 9T"), "Redmi 9T", 21, ("lazada",), 11)
    return campaign


def test_a_scheduler_plans_the_same_sale_next_week_and_reads_the_month_on_a_phone(browser: Browser, site: Site) -> None:
    User.objects.create_superuser("root", password="correct horse battery")
    year = timezone.now().astimezone(WIB).year + 1
    campaign = _january(year)
    complaints: list[str] = []
    desk = _page(browser, site, complaints, viewport={"width": 1280, "height": 900}, locale="en-GB")
    month = f"{site.url}/admin/flashsale/sale/month/?month={year}-01&campaign={campaign.pk}"
    desk.goto(month)
    # Four clicks: the sale, Copy, the preview, the copy. All values are proposed.
    desk.locator("table.month").get_by_role("link", name="POCO M3 first").click()
    desk.get_by_role("link", name="Copy", exact=True).click()
    assert desk.locator("#id_opens_at").input_value().startswith(f"{year}-01-21T10:00")
    desk.get_by_role("button", name="Show what will happen").click()
    expect(desk.locator("table.facts").first).to_contain_text(f"21 January {year} 10:00 WIB")
    _check(desk, complaints)
    desk.get_by_role("button", name="Copy", exact=True).click()
    desk.wait_for_url("**/change/")
    copy = Sale.objects.get(code="poco-m3-first-2")
    assert (copy.opens_at, copy.state) == (datetime(year, 1, 21, 10, tzinfo=WIB), "draft")
    desk.goto(month)
    expect(desk.locator("table.month .entry.draft")).to_have_count(2)
    expect(desk.locator("table.month .entry.clash")).to_have_count(2)
    _check(desk, complaints)
    _picture(desk, "month-en")
    desk.goto(f"{site.url}/admin/flashsale/campaign/import/?id={campaign.pk}")
    _check(desk, complaints)
    desk.context.close()
    for language, scheme in (("en-GB", "light"), ("id-ID", "dark")):
        phone = _page(
            browser, site, complaints, viewport={"width": 360, "height": 740}, locale=language,
            color_scheme=scheme, device_scale_factor=1.5,
        )  # fmt: skip
        for address in (f"flashsale/sale/month/?month={year}-01", "flashsale/sale/calendar/"):
            phone.goto(f"{site.url}/admin/{address}")
            _check(phone, complaints)
        phone.goto(month)
        expect(phone.locator("table.month")).to_be_hidden()
        expect(phone.locator(".month-list .entry")).to_have_count(3)
        _picture(phone, f"month-phone-{language[:2]}")
        phone.context.close()
