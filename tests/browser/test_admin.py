"""The admin in a real browser: no violation of the content security policy, no barrier for people with disabilities."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page

from flashsale.life import review
from flashsale.models import Allocation, Campaign, Case, Reservation, Unit
from tests.admin.orders import buy
from tests.factories import PHONE, draft_sale, lobby_sale

SERIOUS = {"serious", "critical"}
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def complaints() -> list[str]:
    """Errors in the browser's console."""
    return []


@pytest.fixture
def desk(browser: Browser, site: Any, complaints: list[str]) -> Iterator[Page]:
    """A page of a superuser who has logged in, on a desktop screen."""
    User.objects.create_superuser("root", password="correct horse battery")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    page.on(
        "console", lambda message: complaints.append(f"{page.url} {message.text}") if message.type == "error" else None
    )
    page.on("pageerror", lambda error: complaints.append(f"{page.url} {error}"))
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.goto(f"{site.url}/admin/login/")
    page.fill("#id_username", "root")
    page.fill("#id_password", "correct horse battery")
    page.click("input[type=submit]")
    page.wait_for_url(f"{site.url}/admin/")
    yield page
    context.close()


def _addresses() -> list[str]:
    running = lobby_sale(stock={PHONE: 3})
    buy(running, ["ani", "budi"])
    case = review.open_case(reservation=Reservation.objects.all()[0])
    evidence = {"shared": [{"axis": "device", "people": 2, "points": 60, "trace": "ab12"}], "score": 60}
    Case.objects.filter(pk=case.pk).update(evidence=evidence, score=60)
    again = review.open_case(reservation=Reservation.objects.all()[1])
    run = review.start(sale=running)
    review.execute(run=run.pk)
    Case.objects.update(run=run, group=1, evidence=evidence)
    draft = draft_sale(running.campaign, name="29 January")
    held = Allocation.objects.filter(sale=running).get()
    unit = Unit.objects.filter(allocation=held).exclude(state="free")[0]
    return [
        "", "flashsale/sale/", "flashsale/sale/add/", f"flashsale/sale/{draft.pk}/change/",
        f"flashsale/sale/publish/?id={draft.pk}", f"flashsale/sale/{running.pk}/change/",
        f"flashsale/campaign/{Campaign.objects.get().pk}/change/",
        "flashsale/case/", f"flashsale/case/{case.pk}/change/", "flashsale/record/", "flashsale/record/1/change/",
        f"flashsale/case/propose/?id={case.pk}", f"flashsale/case/propose/?id={case.pk}&id={again.pk}",
        f"flashsale/reviewrun/{run.pk}/change/", "flashsale/publishedruleset/add/",
        f"flashsale/publishedruleset/{running.rules_id}/change/",
        f"flashsale/sale/try-out/?id={running.pk}", f"flashsale/unit/{unit.pk}/change/",
        f"flashsale/reservation/{case.reservation_id}/change/", f"auth/user/{User.objects.get().pk}/change/",
    ]  # fmt: skip


def _serious(page: Page) -> list[str]:
    """Serious accessibility faults, without one of Django's own two-column chooser."""
    broken = Axe().run(page, options={"rules": {"aria-prohibited-attr": {"enabled": False}}}).response["violations"]
    return [f"{page.url} {rule['id']}: {rule['nodes'][0]['html']}" for rule in broken if rule["impact"] in SERIOUS]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_can_be_used_by_everybody(
    desk: Page, site: Any, complaints: list[str], scheme: Literal["light", "dark"]
) -> None:
    desk.emulate_media(color_scheme=scheme)
    found = []
    for address in _addresses():
        desk.goto(f"{site.url}/admin/{address}")
        assert complaints == []
        found += _serious(desk)
        # The checker itself sets inline styles, which the policy forbids.
        complaints.clear()
    assert found == [], "\n".join(found)
