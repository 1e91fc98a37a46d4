"""The page of a cancelled order, for people who use a screen reader, a small phone, or no script."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page

from flashsale.life import review, sealed_links
from flashsale.models import Appeal
from tests.admin.orders import buy
from tests.browser.person import Person
from tests.browser.site import Site
from tests.factories import PHONE, lobby_sale

pytestmark = pytest.mark.browser


def test_an_appeal_is_readable_for_everybody_and_sent_without_a_script(
    site: Site, page: Page, browser: Browser
) -> None:
    sale = lobby_sale(stock={PHONE: 1})
    (order,) = buy(sale, ["ani"])
    one, two = User.objects.create_user("one"), User.objects.create_user("two")
    case = review.propose(case=review.open_case(reservation=order), code="automated_order", by=one)
    review.approve(case=case, by=two)
    url = site.url + sealed_links.path(sealed_links.Kind.APPEAL, case.pk)

    ani = Person(site, page, sale)
    page.goto(url)
    ani.sees("Is this a mistake?")
    assert (ani.barriers(), ani.overflow() <= 0) == ([], True)

    plain = browser.new_context(java_script_enabled=False, locale="en-GB").new_page()
    plain.goto(url)
    plain.fill("#words", "I ordered by hand.")
    plain.get_by_role("button", name="Appeal", exact=True).click()
    assert plain.get_by_role("heading", name="Your appeal has arrived").is_visible()
    assert Appeal.objects.get().case == case
    plain.context.close()

    page.reload()
    ani.sees("Your appeal has arrived")
    assert ani.barriers() == []
