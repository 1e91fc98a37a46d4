"""The live board in a browser: it keeps up by itself, rests when it is hidden, and can be read on a phone.

With FLASHSALE_PICTURES the board becomes pictures:
FLASHSALE_PICTURES=docs/images python -m pytest tests/browser/test_board.py
"""

import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, Route, expect

from flashsale.gate import bridge, refusal_counts
from flashsale.life import monitor, sale_control
from flashsale.models import Sale, SaleSample
from tests.browser.site import Site
from tests.factories import PHONE, Shopper, card_of, lobby_sale, open_now, tend
from tests.life.deliveries import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PICTURES = os.environ.get("FLASHSALE_PICTURES")
PATIENT_MS = 60_000
SERIOUS = {"serious", "critical"}


@contextmanager
def _desk(browser: Browser, site: Site, *, width: int, height: int, script: bool = True) -> Iterator[Page]:
    """A page of a superuser who has logged in. Errors in the console fail the test."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale="en-GB", java_script_enabled=script, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENT_MS)
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on(
        "console",
        lambda message: (
            found.append(message.text)
            if message.type == "error" and not message.text.startswith("Failed to load resource")
            else None
        ),
    )
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(f"{site.url}/admin/login/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "correct horse battery")
    page.click("input[type=submit]")
    page.wait_for_url(f"{site.url}/admin/")
    yield page
    context.close()
    assert found == []


def _crowd(sale: Sale, people: int) -> None:
    """People enter, are called, and every third one reserves. Then samples lead from nothing to these figures."""
    shoppers = [Shopper(sale, f"person-{n}") for n in range(people)]
    for number, shopper in enumerate(shoppers):
        if number % 40 == 0:
            tend(sale)  # which makes room for more
        shopper.enter()
    open_now(sale)
    tend(sale)
    bought = 0
    for shopper in sorted(shoppers, key=Shopper.number)[: people // 3]:
        if shopper.look().state == "called":
            shopper.reserve(key=shopper.name)
            bought += 1
    for word, times in (("not_called", 412), ("limit_reached", 23), ("sold_out", 4)):
        for _ in range(times):
            refusal_counts.count(sale.code, "reserve", word)
    bridge.run(refusal_counts.flush())
    assert [check.broken for check in monitor.check_all()] == [()]
    line = card_of(sale).lines[0].code
    now = int(time.time())

    def grown(second: int, most: float, middle: float) -> int:
        return round(most / (1 + math.exp(-(second - middle) / 60)))

    units = sum(sale.allocations.values_list("stock__quantity", flat=True))
    rows = []
    for n in range(900):
        called, held = grown(n, people, 500), grown(n, bought, 560)
        rows.append(SaleSample(
            sale=sale, second=now - 900 + n, phase="open",
            lines=[[line, grown(n, people, 300), called, held, 0, units - held, held, 0]],
            refused={"not_called": n // 3, "limit_reached": n // 40}, door_requests=n * 40,
            door_p95_ms=18 + round(12 * math.sin(n / 90) ** 2), gate_ms=1 + n // 60 % 2, books_ms=4 + n // 40 % 5,
            payments_waiting=0, review_backlog=0,
        ))  # fmt: skip
    SaleSample.objects.filter(sale=sale, second__lt=now).delete()
    SaleSample.objects.bulk_create(rows, ignore_conflicts=True)


def _fast(page: Page, pattern: str) -> None:
    """The board refreshes every half second."""

    def faster(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=re.sub(r'data-every="\d+"', 'data-every="500"', answer.text()))

    page.route(pattern, faster)


def _barriers(page: Page) -> list[str]:
    found = Axe().run(page, options={"rules": {"aria-prohibited-attr": {"enabled": False}}}).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found if rule["impact"] in SERIOUS]


def _overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def _picture(page: Page, name: str, height: int) -> None:
    if PICTURES:
        size: Any = {"x": 0, "y": 0, "width": page.evaluate("innerWidth"), "height": height}
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True, clip=size)


def test_the_board_keeps_up_by_itself_says_when_it_is_old_and_can_be_read_on_a_phone(
    browser: Browser, site: Site
) -> None:
    User.objects.create_superuser("root", password="correct horse battery")
    sale = lobby_sale(stock={PHONE: 300 if PICTURES else 30})
    _crowd(sale, 240 if PICTURES else 24)
    address = f"/admin/flashsale/sale/{sale.pk}/board/"
    with _desk(browser, site, width=1280, height=900) as page:
        _fast(page, f"**{address}")
        page.goto(site.url + address)
        expect(page.locator("figure.chart")).to_have_count(5)
        expect(page.locator(".promises")).to_contain_text("all hold")
        _picture(page, "board", 1500)
        page.emulate_media(color_scheme="dark")
        assert _barriers(page) == []
        page.emulate_media(color_scheme="light")
        table = page.locator("details[data-key=chart-2]")
        table.locator("summary").click()
        page.focus(f"#brake-{sale.pk}")
        scrolled = page.evaluate("window.scrollTo(0, 300); window.scrollY")
        sale_control.pause(sale=sale, message="Sebentar\nOne moment")
        expect(page.locator(".told")).to_contain_text("One moment")
        expect(page.locator(f"#resume-{sale.pk}")).to_be_visible()
        assert table.get_attribute("open") == ""
        assert page.evaluate("document.activeElement.id") == f"brake-{sale.pk}"
        assert page.evaluate("window.scrollY") == scrolled
        # A hidden page asks for nothing, and asks at once when it is seen again.
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "part=1" in request.url else None)
        hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true}); "
        seen = "document.dispatchEvent(new Event('visibilitychange'))"
        page.evaluate(hide % "true" + seen)
        page.wait_for_timeout(1000)
        count = len(asked)
        page.wait_for_timeout(1000)
        assert len(asked) == count
        page.evaluate(hide % "false" + seen)
        wait_until(lambda: page.wait_for_timeout(50) or len(asked) > count)
        page.route("**/*part=1*", lambda route: route.abort())
        expect(page.locator("#board-stale")).to_contain_text("These figures are old.")
        page.unroute("**/*part=1*")
        page.evaluate(seen)
        expect(page.locator("#board-stale")).to_be_hidden()
        page.goto(f"{site.url}{address}?big=1")
        expect(page.locator("#header")).to_be_hidden()
        assert page.locator("dl.tiles dd").first.evaluate("cell => parseFloat(getComputedStyle(cell).fontSize)") > 48
        assert _overflow(page) == 0
    sale_control.resume(sale=sale)
    _on_a_phone(browser, site, site.url + address)


def _on_a_phone(browser: Browser, site: Site, address: str) -> None:
    with _desk(browser, site, width=360, height=740) as page:
        page.goto(address)
        expect(page.locator(".clock .time")).to_be_visible()
        _picture(page, "board-phone", 1500)
        assert _overflow(page) == 0
        assert page.locator(".controls a").evaluate_all("all => Math.min(...all.map(a => a.offsetHeight))") >= 44
        for other in (f"{address}?big=1", f"{site.url}/admin/flashsale/sale/board/"):
            page.goto(other)
            assert _overflow(page) == 0
        assert _barriers(page) == []
    with _desk(browser, site, width=360, height=740, script=False) as page:
        page.goto(address)
        assert page.locator("dl.tiles dd").count() >= 12
        assert 'http-equiv="refresh"' in page.content()
