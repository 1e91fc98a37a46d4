"""Log-in of staff in a real browser: a passkey, the second step and a fresh proof, on a phone, for everybody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Page

from flashsale.web.sessions import SessionStore
from tests.browser.site import Site, serving
from tests.factories import draft_sale

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery"


@pytest.fixture
def strict_site(transactional_db: None, gate: object, tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path, FLASHSALE_STAFF_SECOND_FACTOR="1", FLASHSALE_FRESH_PROOF_S="600") as found:
        yield found


def _look(page: Page, heading: str) -> None:
    """The page has this heading, no serious fault, and fits a small phone."""
    page.get_by_role("heading", name=heading).wait_for()
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found if rule["impact"] in {"serious", "critical"}] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), page.url


def _passkeys(page: Page) -> None:
    """Gives the browser a device that holds passkeys."""
    tool = page.context.new_cdp_session(page)
    tool.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
               "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip
    tool.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_a_passkey_opens_the_admin_and_a_proof_leads_back(browser: Any, strict_site: Site) -> None:
    user = User.objects.create_superuser("root", password=PASSWORD)
    sale = draft_sale()
    context = browser.new_context(viewport={"width": 360, "height": 640}, locale="id-ID", color_scheme="dark")
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda line: refused.append(line.text) if "Content Security Policy" in line.text else None)
    base = strict_site.url.replace("127.0.0.1", "localhost")
    _passkeys(page)
    page.goto(f"{base}/admin/")
    page.fill("#id_username", "root")
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    _look(page, "Cara masuk Anda")
    page.goto(f"{base}/admin/account/devices/app/add/")
    _look(page, "Tambah aplikasi autentikator")
    page.goto(f"{base}/admin/account/devices/passkey/add/")
    _look(page, "Tambah kunci sandi")
    refused_by_us = [text for text in refused if "style" not in text]  # the checker sets inline styles
    page.click("#mfa_webauthn_add")
    _look(page, "Kode pemulihan")
    assert Authenticator.objects.filter(user=user, type="webauthn").count() == 1
    page.goto(f"{base}/admin/flashsale/sale/")
    page.get_by_role("heading", name="Pilih").wait_for()
    # A new log-in asks for the passkey.
    context.clear_cookies()
    page.goto(f"{base}/admin/flashsale/sale/")
    page.fill("#id_username", "root")
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    _look(page, "Langkah kedua")
    page.click("#mfa_webauthn_authenticate")
    page.wait_for_url(f"{base}/admin/flashsale/sale/")
    # A proof that is too old: the page of the action asks, and comes back.
    cookie = next(one["value"] for one in context.cookies() if one["name"] == "sessionid")
    session = SessionStore(cookie)
    for record in session["account_authentication_methods"]:
        record["at"] -= 3600
    session.save()
    page.goto(f"{base}/admin/flashsale/sale/publish/?id={sale.pk}")
    _look(page, "Apakah ini masih Anda?")
    page.click("#proof_passkey")
    page.get_by_role("heading", name="Terbitkan").wait_for()
    assert page.url.endswith(f"/admin/flashsale/sale/publish/?id={sale.pk}")
    assert refused_by_us == []
    context.close()
