"""The admin in a real browser: no violation of the content security policy, no barrier for people with disabilities.

FLASHSALE_PICTURES=docs/images python -m pytest tests/browser/test_admin.py
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python import base as axe_base
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page

from flashsale.life import case_desk, review
from flashsale.models import Campaign, Case, ListedValue, PublishedRuleSet, Reservation, Sale
from tests import samples
from tests.admin.filled import fill_every_table
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
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", reduced_motion="reduce")
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


# Their pages have parts that no other page has.
PAGES_OF_THEIR_OWN = {Campaign, Case, Reservation, Sale}
# In the sequence of a walk: a theme and a width in px. Each page is loaded once and looked at in both.
LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 360))
# The checker's file. It is loaded into each page by the browser's own tool, which the policy of the page does not bind.
AXE = Path(axe_base.AXE_FILE_PATH).read_text(encoding="utf-8")
# One of Django's own two-column chooser has a fault that no style can mend.
RULES = {"resultTypes": ["violations"], "rules": {"aria-prohibited-attr": {"enabled": False}}}


def _filled() -> Case:
    """A row in every table, and a case of a ring with a note. Returns that case."""
    users = {name: User.objects.create_superuser(name) for name in ("bob", "carol")}
    clients = {name: Client() for name in users}
    for name, client in clients.items():
        client.force_login(users[name])
    campaign = fill_every_table(clients["bob"], clients["carol"], text="Poco")
    running = lobby_sale(campaign, stock={PHONE: 6}, name="30 January")
    buy(running, ["eka", "fajar", "gita", "hadi"], device="one")
    slow = Reservation.objects.filter(sale=running).latest("pk")
    Reservation.objects.filter(pk=slow.pk).update(made_at=slow.made_at - timedelta(minutes=10))
    review.execute(run=review.start(sale=running).pk)
    draft_sale(campaign, name="31 January")
    case = Case.objects.filter(run__sale=running).order_by("pk")[0]
    case_desk.add_note(case=case, text="The four parcels go to one pick-up point.", by=users["bob"])
    case_desk.assign(case=case, to=users["bob"], by=users["bob"])
    Case.objects.filter(pk=case.pk).update(deadline_at=timezone.now() - timedelta(hours=1))
    return case


def _addresses() -> list[str]:
    """Every list, every form, and every page of an action, once. In the short form some of each kind."""
    found = ["", "manual/", "flashsale/refund/waiting/"]
    own, lists, forms, actions = (list[str]() for _ in range(4))
    for model, page in admin.site._registry.items():
        base = f"{model._meta.app_label}/{model._meta.model_name}/"
        row = model._default_manager.order_by("-pk").first()
        lists.append(base)
        if row:
            (own if model in PAGES_OF_THEIR_OWN else forms).append(f"{base}{row.pk}/change/")
        if model in {Sale, Campaign, PublishedRuleSet, ListedValue, User, Group}:
            forms.append(f"{base}add/")
        actions += [
            f"{base}{action.name}/?id={_row_for(action, model).pk}"
            for action in (getattr(page, "row_actions", ()) if row else ())
        ]
    kinds = ((lists, 5), (forms, 6), (actions, 8))
    return [*found, *own, *(address for kind, most in kinds for address in samples.some(kind, most))]


def _row_for(action: Any, model: Any) -> Any:
    """A row for which the action is possible; any row if there is none."""
    rows = list(model._default_manager.order_by("-pk")[:20])
    return next((row for row in rows if action.is_available(row)), rows[0])


def _faults(page: Page) -> list[str]:
    """What is wider than the screen, and serious faults of accessibility."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    broken = page.evaluate("rules => axe.run(document, rules)", RULES)["violations"]
    serious = [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in broken if rule["impact"] in SERIOUS]
    return [*serious, *([f"{wide} px too wide"] if wide > 0 else [])]


def test_every_page_fits_and_can_be_used_by_everybody(desk: Page, site: Any, complaints: list[str]) -> None:
    case = _filled()
    found: list[str] = []
    for address in _addresses():
        desk.goto(f"{site.url}/admin/{address}", wait_until="domcontentloaded")
        found += [f"{address}: {complaint}" for complaint in complaints]
        desk.evaluate(AXE)
        for theme, width in LOOKS:
            desk.emulate_media(color_scheme=theme)
            desk.set_viewport_size({"width": width, "height": 900})
            found += [f"{address} {theme} {width}: {fault}" for fault in _faults(desk)]
        # The checker itself sets inline styles, which the policy forbids.
        complaints.clear()
    assert found == [], "\n".join(found)
    _keyboard(desk, site)
    _pictures(desk, site, case)


def _keyboard(page: Page, site: Any) -> None:
    """The first stop is the link to the content, the next stops follow the page, and each shows where it is."""
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{site.url}/admin/flashsale/case/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-to-content-link"
    tops = []
    for _ in range(12):
        page.keyboard.press("Tab")
        shown = page.evaluate("""() => {
            const here = document.activeElement, style = getComputedStyle(here), box = here.getBoundingClientRect();
            return [parseFloat(style.outlineWidth), style.outlineStyle, style.boxShadow, box.top + box.height / 2];
        }""")
        assert (shown[0] > 0 and shown[1] != "none") or shown[2] != "none", shown
        tops.append(shown[3])
    assert tops[0] < tops[-1]


def _pictures(page: Page, site: Any, case: Case) -> None:
    """With FLASHSALE_PICTURES: a case with its ring, the form of a rule set, and a dark list."""
    folder = os.environ.get("FLASHSALE_PICTURES")
    if not folder:
        return
    shots: list[tuple[str, str, Literal["light", "dark"], int, int]] = [
        ("case", f"flashsale/case/{case.pk}/change/", "light", 1280, 1100),
        ("ring", f"flashsale/case/ring/?id={case.pk}", "light", 1280, 620),
        ("ring-phone", f"flashsale/case/ring/?id={case.pk}", "light", 360, 740),
        ("rule-set-form", "flashsale/publishedruleset/add/", "light", 1280, 1000),
        ("cases-dark", "flashsale/case/", "dark", 1280, 620),
    ]
    for name, address, theme, width, height in shots:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{site.url}/admin/{address}")
        page.screenshot(path=Path(folder) / f"{name}.png")
