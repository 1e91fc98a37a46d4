"""A shopper downloads a signed receipt, and its signature is valid."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

from flashsale.rules.receipts import verify
from tests.browser.person import Person
from tests.browser.site import Site
from tests.factories import lobby_sale

pytestmark = pytest.mark.browser


def test_the_receipt_that_a_person_saves_is_signed(site: Site, page: Page) -> None:
    person = Person(site, page, lobby_sale(channels=("mi.com",), opens_in_s=600))
    person.come()
    person.enter()
    with page.expect_download() as saving:
        page.get_by_role("link", name=person.word("Save a signed receipt of your ticket")).click()
    assert saving.value.suggested_filename == f"{person.sale.code}-receipt.json"
    signed = json.loads(Path(saving.value.path()).read_text(encoding="utf-8"))
    keys = page.request.get(f"{site.url}/v1/keys").json()
    assert (signed["receipt"]["sale"], signed["receipt"]["index"]) == (person.sale.code, 1)
    assert verify(signed, keys)
