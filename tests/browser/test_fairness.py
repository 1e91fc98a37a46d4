"""The fairness report in a real browser: on a small phone, in light and dark, without barriers.

FLASHSALE_PICTURES=docs/images python -m pytest tests/browser/test_fairness.py
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from flashsale.gate import bridge, refusal_counts
from flashsale.life import review
from flashsale.life.reallocate import reallocate
from flashsale.models import Sale
from tests.admin.orders import buy
from tests.browser.person import Person
from tests.browser.site import Site
from tests.factories import PHONE, draft_sale, end_now, lobby_sale

pytestmark = pytest.mark.browser


def _past(django_user_model: Any) -> Sale:
    """A sale that is over, with data in every part of the report."""
    sari, tono = (django_user_model.objects.create_user(name) for name in ("sari", "tono"))
    sale = lobby_sale(stock={PHONE: 9}, name="26 January 2021, the first flash sale of the POCO M3")
    orders = buy(sale, [f"person-{n}" for n in range(8)], device="the reseller's tablet")
    for n, order in enumerate(orders):
        made_at = sale.opens_at + timedelta(seconds=20 + n * n)
        type(order).objects.filter(pk=order.pk).update(made_at=made_at, confirmed_at=made_at + timedelta(seconds=25))
    for order in orders[:6]:
        case = review.open_case(reservation=order, by=sari)
        review.propose(case=case, code="one_person_many_identities", by=sari)
        review.approve(case=case, by=tono)
    later = draft_sale(sale.campaign, stock={PHONE: 0}, name="29 January")
    reallocate(source=sale, target=later.allocations.get(), reserve=2)
    for word, times in (("limit_reached", 40), ("not_called", 12), ("not_open", 3)):
        for _ in range(times):
            refusal_counts.count(sale.code, "enter" if word == "limit_reached" else "reserve", word)
    bridge.run(refusal_counts.flush())
    return end_now(sale)


def test_the_report_fits_a_cheap_phone_and_can_be_used_by_everybody(
    shop: Site, page: Page, django_user_model: Any
) -> None:
    sale = _past(django_user_model)
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{shop.url}/s/{sale.code}/fairness")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Laporan keadilan")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
        assert Person(shop, page, sale).barriers() == []
        if folder := os.environ.get("FLASHSALE_PICTURES"):
            page.screenshot(path=Path(folder) / f"fairness-report{'-dark' * (scheme == 'dark')}.png", full_page=True)
    page.locator("summary").click()
    assert Person(shop, page, sale).barriers() == []
    page.get_by_role("link", name="JSON").click()
    assert '"version":1' in page.content().replace(" ", "")
