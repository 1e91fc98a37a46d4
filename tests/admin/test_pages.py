"""Every page works in both languages, shows personal data only to reviewers, and runs no injected script."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from flashsale.models import Case, Notice, Reallocation, Reservation
from tests.admin.filled import fill_every_table
from tests.admin.orders import EVIL, cases

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")|<style|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE
)


@pytest.fixture
def hostile_rows(bob: Client, carol: Client) -> None:
    """A row in every table, with texts that contain a script."""
    fill_every_table(bob, carol, text=EVIL)


def _pages() -> list[str]:
    urls = ["/admin/"]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        urls.append(reverse(f"{name}_changelist"))
        if model._meta.app_label == "flashsale":
            assert row is not None, model
            urls.append(reverse(f"{name}_change", args=[row.pk]))
    return urls


@pytest.mark.parametrize("language", ["id", "en"])
def test_every_page_answers_and_contains_no_injected_script(hostile_rows: None, root: Client, language: str) -> None:
    for url in _pages():
        page = root.get(url, headers={"accept-language": language})
        html = page.content.decode()
        assert page.status_code == 200, url
        assert EVIL not in html, url
        assert INLINE.findall(html) == [], url
        assert "script-src 'self'" in page["Content-Security-Policy"], url
        assert f'lang="{language}"' in html, url


def test_viewers_can_open_every_page(hostile_rows: None, dave: Client) -> None:
    # Users belong to superusers, requests of people about their data to those who answer them.
    pages = [url for url in _pages() if "/auth/" not in url and "/personrequest/" not in url]
    assert {url: dave.get(url).status_code for url in pages} == dict.fromkeys(pages, 200)


def test_action_pages_escape_hostile_text(hostile_rows: None, root: Client) -> None:
    for model, action in (("case", "propose"), ("reservation", "open-case"), ("sale", "pause"), ("sale", "reallocate")):
        table: Any = {"case": Case, "reservation": Reservation}.get(model, Reallocation)
        row = table.objects.first()
        pk = row.source_id if isinstance(row, Reallocation) else row.pk
        page = root.get(reverse(f"admin:flashsale_{model}_{action}") + f"?id={pk}")
        assert page.status_code == 200
        assert EVIL not in page.content.decode()


def test_only_reviewers_see_contacts(hostile_rows: None, bob: Client, dave: Client) -> None:
    order = Reservation.objects.filter(contact__isnull=False).first()
    assert order is not None
    url = reverse("admin:flashsale_reservation_change", args=[order.pk])
    assert "Jl. Mawar 1" in bob.get(url).content.decode()
    assert "Jl. Mawar 1" not in dave.get(url).content.decode()


def test_a_reservation_is_found_by_the_first_characters_of_its_id(hostile_rows: None, dave: Client) -> None:
    order = Reservation.objects.first()
    assert order is not None
    page = dave.get("/admin/flashsale/reservation/", {"q": str(order.pk)[:8]})
    assert [row.pk for row in page.context["cl"].result_list] == [order.pk]


def test_the_first_page_counts_cases_and_notices(hostile_rows: None, dave: Client) -> None:
    page = dave.get("/admin/").content.decode()
    assert f'<a href="/admin/flashsale/notice/?state__exact=due">due</a></dt><dd>{Notice.objects.count()}</dd>' in page
    assert len(cases()) == 1
    assert '?state__exact=open">open</a></dt><dd>0</dd>' in page


def test_the_command_roles_can_be_repeated(db: Any) -> None:
    call_command("roles")
    call_command("roles")


def test_every_page_requires_a_login(client: Client) -> None:
    for url in ("/admin/", "/admin/flashsale/case/", reverse("admin:flashsale_sale_publish") + "?id=1"):
        assert client.get(url).status_code == 302
