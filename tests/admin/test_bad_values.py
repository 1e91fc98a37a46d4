"""A value that is not possible, in any field of any form of the admin, shows the form again with an error."""

import html
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponseRedirect
from django.test import Client
from django.urls import reverse
from django.utils import translation

from flashsale.admin.action_page import ActionAdmin, ReadOnlyAdmin
from flashsale.admin.labels import local_time
from flashsale.life import review
from flashsale.models import Allocation, Campaign, CampaignAxis, PartnerKey, Sale
from tests import samples
from tests.admin.forms import action_links, form_values, submit
from tests.admin.orders import buy, follow_up
from tests.factories import PHONE, draft_sale, lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

TEXTS = ("\x00", "WIB?")
NUMBERS = ("9" * 40,)
TIMES = ("0001-01-01T00:00", "9999-12-31T23:59")


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """Texts outside of a request too: without it they are Indonesian, and this file fails when it runs alone."""
    with translation.override("en"):
        yield


@pytest.fixture
def rows(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft, a published sale and orders, so that every form has a row."""
    campaign = poco_campaign()
    sale = lobby_sale(campaign, stock={PHONE: 3})
    PartnerKey.make(campaign.channels.get(code="lazada"))
    order, _ = buy(sale, ["ani", "budi"])
    review.execute(run=review.start(sale=sale).pk)
    review.open_case(reservation=order)
    draft = draft_sale(poco_campaign(), stock={PHONE: 3})
    Allocation.objects.filter(sale=draft).update(listed_only=True)
    follow_up(sale, campaign)
    Group.objects.create(name="group")
    # What an action does with values that are possible has tests of its own.
    monkeypatch.setattr(ActionAdmin, "_perform", lambda *_: HttpResponseRedirect("/"))


def _forms() -> Iterator[str]:
    """The address of every form: adding, changing a draft and a published row, and the pages of actions."""
    for model, pages in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        if not isinstance(pages, ReadOnlyAdmin):
            yield reverse(f"{name}_add")
            yield from (reverse(f"{name}_change", args=[row.pk]) for row in model._default_manager.all()[:2])
        if isinstance(pages, ActionAdmin):
            for action in pages.row_actions:
                rows = [row for row in model._default_manager.all() if action.is_available(row)]
                yield from [pages.action_url(action, [row.pk]) for row in rows[:1]]


def _fields(page: Any) -> Iterator[tuple[tuple[str, ...], str, tuple[str, ...]]]:
    """The fields that a person can type into, of the form and of the rows below it, with impossible values.

    The first part says what kind of field it is: its model, its form and its name.
    """
    form = page.context["adminform"].form if "adminform" in page.context else page.context["form"]
    sets = [inline.formset for inline in page.context.get("inline_admin_formsets", ())]
    for row in [form, *(row for one in sets for row in one.forms[:1])]:
        for name, field in row.fields.items():
            yield (*_kind(row), name), row.add_prefix(name), _impossible(field)
    yield from ((("rows", one.prefix), f"{one.prefix}-TOTAL_FORMS", NUMBERS) for one in sets)


def _kind(form: Any) -> tuple[str, ...]:
    model = form._meta.model._meta.label if isinstance(form, forms.ModelForm) else ""
    return model, type(form).__module__, type(form).__qualname__


def _impossible(field: forms.Field) -> tuple[str, ...]:
    if isinstance(field, forms.DateTimeField):
        return TIMES
    return NUMBERS if isinstance(field, forms.IntegerField | forms.ChoiceField | forms.ModelChoiceField) else TEXTS


def _errors(page: Any) -> bool:
    if not page.context:
        return False
    if page.context.get("preview") is not None:
        return True  # the page shows what would happen and has changed nothing
    form = page.context["adminform"].form if "adminform" in page.context else page.context["form"]
    sets = [inline.formset for inline in page.context.get("inline_admin_formsets", ())]
    return bool(form.errors) or any(any(one.errors) or one.non_form_errors() for one in sets)


def _send(client: Client, url: str, values: dict[str, Any]) -> Any:
    """The answer; what it stored is undone."""
    with transaction.atomic():
        answer = client.post(url, values)
        transaction.set_rollback(True)
    return answer


@pytest.mark.slow
def test_an_impossible_value_in_any_field_shows_the_form_again(rows: None, root: Client) -> None:
    wrong, tried, seen = [], 0, set()
    for url in _forms():
        page = root.get(url)
        if page.status_code == 403 or not page.context or not ({"adminform", "form"} & set(page.context.keys())):
            continue
        if not page.context.get("has_change_permission", True):
            continue  # a page of a frozen row only shows it
        values = form_values(page)
        for kind, field, values_of in _fields(page):
            if kind in seen and not samples.WHOLE:
                continue  # the form of another row of this model has shown how it reads this field
            seen.add(kind)
            for value in values_of if samples.WHOLE else [values_of[tried % len(values_of)]]:
                tried += 1
                try:
                    answer = _send(root, url, {**values, field: value})
                except Exception as error:  # noqa: BLE001 - the test lists all of them
                    wrong.append((url, field, value[:20], repr(error)[:200]))
                    continue
                if answer.status_code != 302 and (answer.status_code, _errors(answer)) != (200, True):
                    wrong.append((url, field, value[:20], answer.status_code))
    assert wrong == [], "\n".join(map(str, wrong[:80]))
    assert tried > 100


@pytest.mark.parametrize("model", ["campaign", "sale"])
def test_a_form_that_claims_too_many_rows_is_refused_and_draws_at_most_255(alice: Client, model: str) -> None:
    draft = draft_sale()
    url = reverse(f"admin:flashsale_{model}_change", args=[draft.pk if model == "sale" else draft.campaign_id])
    prefix = "offers" if model == "sale" else "channels"
    answer = submit(alice, url, **{f"{prefix}-TOTAL_FORMS": "9" * 40})
    formset = next(one.formset for one in answer.context["inline_admin_formsets"] if one.formset.prefix == prefix)
    assert formset.non_form_errors() == ["Please submit at most 255 forms."]
    assert len(formset.forms) == 255


ZONES = {
    "WIB": "Asia/Jakarta", "wita": "Asia/Makassar", " Wit ": "Asia/Jayapura", "asia/jakarta": "Asia/Jakarta",
    "UTC": "UTC",
}  # fmt: skip


@pytest.mark.parametrize(("typed", "stored"), ZONES.items())
def test_a_time_zone_is_read_as_people_in_indonesia_write_it(alice: Client, typed: str, stored: str) -> None:
    submit(alice, "/admin/flashsale/campaign/add/", code="poco", name="POCO", time_zone=typed)
    assert Campaign.objects.get().time_zone == stored
    submit(alice, reverse("admin:flashsale_campaign_change", args=[Campaign.objects.get().pk]), time_zone=typed)
    assert Campaign.objects.get().time_zone == stored


# Etc/GMT+7 is an IANA name, but it is seven hours behind UTC. "Factory" and "localtime" name no place.
NO_ZONES = [
    "WIB+1", "Jakarta", "GMT+7", "Etc/GMT+7", "etc/gmt-7", "GMT+0", "Factory", "localtime", "../../etc/passwd",
    "/etc/localtime", "", "[",
]  # fmt: skip


@pytest.mark.parametrize("typed", NO_ZONES)
def test_what_is_no_time_zone_is_refused_and_stays_in_the_form(alice: Client, typed: str) -> None:
    campaign = poco_campaign()
    url = reverse("admin:flashsale_campaign_change", args=[campaign.pk])
    for page in (url, "/admin/flashsale/campaign/add/"):
        answer = submit(alice, page, time_zone=typed)
        assert answer.status_code == 200
        assert "time_zone" in answer.context["adminform"].form.errors
        assert form_values(answer)["time_zone"] == [typed]
    campaign.refresh_from_db()
    assert campaign.time_zone == "Asia/Jakarta"


def test_the_computed_columns_of_a_refused_form_show_what_is_stored(alice: Client) -> None:
    campaign = lobby_sale().campaign
    url = reverse("admin:flashsale_campaign_change", args=[campaign.pk])
    since = local_time(Campaign.objects.get().frozen_at, campaign.zone)
    # The publication froze the campaign's own fields. A channel that no published sale uses can still be wrong.
    answer = submit(alice, url, **{"channels-1-name": ""})
    assert answer.context["errors"]
    assert since in answer.content.decode()


def test_the_panel_of_a_refused_form_shows_what_is_stored(alice: Client) -> None:
    draft = draft_sale()
    url = reverse("admin:flashsale_sale_change", args=[draft.pk])
    stored = alice.get(url).context["panel"]["tables"]
    answer = submit(alice, url, name="", opens_at="2031-01-01T00:00", closes_at="2032-01-01T00:00")
    assert answer.context["adminform"].form.errors
    assert [table.rows for table in answer.context["panel"]["tables"]] == [table.rows for table in stored]
    assert form_values(answer)["opens_at"] == ["2031-01-01T00:00"]


OUTSIDE = ["0001-01-01T00:00", "0001-01-01T06:59", "1999-12-31T00:00", "2101-01-01T00:00", "9999-12-31T23:59:59"]


@pytest.mark.parametrize("typed", OUTSIDE)
@pytest.mark.parametrize("zone", ["Asia/Jayapura", "America/Los_Angeles"])
def test_a_time_outside_of_this_century_is_refused_with_a_sentence(alice: Client, typed: str, zone: str) -> None:
    campaign = poco_campaign(time_zone=zone)
    values = {"campaign": campaign.pk, "code": "x", "name": "x", "closes_at": "2030-01-01T00:00", "opens_at": typed}
    page = submit(alice, "/admin/flashsale/sale/add/", **values)
    assert page.context["adminform"].form.errors["opens_at"] == ["Type a time from the year 2000 to 2099."]
    draft = draft_sale(campaign)
    page = submit(alice, reverse("admin:flashsale_sale_change", args=[draft.pk]), closes_at=typed, lobby_at=typed)
    assert set(page.context["adminform"].form.errors) == {"closes_at", "lobby_at"}
    assert list(Sale.objects.values_list("closes_at", flat=True)) == [draft.closes_at]


@pytest.mark.parametrize("year", [1, 1999, 2100, 9999])
def test_a_sale_of_another_century_is_refused_also_without_a_form(year: int) -> None:
    at = datetime(year, 1, 1, tzinfo=UTC)
    with translation.override("en"), pytest.raises(ValidationError, match="from the year 2000 to 2099"):
        draft_sale(opens_at=at, closes_at=at)
    assert not Sale.objects.exists()


def test_a_bad_row_of_a_list_is_named_and_the_list_is_kept(alice: Client) -> None:
    draft = draft_sale(stock={PHONE: 3})
    line = draft.allocations.get()
    Allocation.objects.filter(pk=line.pk).update(listed_only=True)
    (url,) = action_links(alice.get(reverse("admin:flashsale_sale_change", args=[draft.pk])), "list")
    typed = "0812 1111 1111\n\n+6281222222222\nbudi\n0812-1111-1113\n" + "9" * 300
    page = submit(alice, url, line=line.pk, axis="phone", people=typed)
    bad = ["Row 4 (phone): cannot be read. No row was added.", "Row 6 (phone): too long. No row was added."]
    assert page.context["form"].errors == {"people": bad}
    assert html.escape(typed) in page.content.decode()
    assert not line.list_entries.exists()
    page = submit(alice, url, line=line.pk, axis="phone", people="x\n" * 1000)
    assert len(page.context["form"].errors["people"]) == 21
    assert page.context["form"].errors["people"][-1] == "1000 rows cannot be read."
    submit(alice, url, line=line.pk, axis="phone", people=typed.replace("budi", "").replace("9" * 300, ""))
    assert line.list_entries.count() == 3


def test_what_a_copied_list_has_around_its_rows_is_not_part_of_them(alice: Client) -> None:
    draft = draft_sale(stock={PHONE: 3})
    line = draft.allocations.get()
    Allocation.objects.filter(pk=line.pk).update(listed_only=True)
    url = action_links(alice.get(reverse("admin:flashsale_sale_change", args=[draft.pk])), "list")[0]
    for typed in ("\ufeffani@example.com\r\n\u200b\r\n", "\u202aani@example.com\u202c", "ani@example.com\u200b"):
        page = submit(alice, url, line=line.pk, axis="email", people=typed)
        assert page.redirect_chain, page.context["form"].errors
    assert line.list_entries.count() == 1


def test_a_list_of_accounts_for_two_partners_is_refused_and_kept(alice: Client) -> None:
    campaign = poco_campaign()
    CampaignAxis.objects.create(campaign=campaign, axis="account", hard=True, checked_at="enter")
    draft = draft_sale(campaign, lines=[{"code": "two", "channels": ["lazada", "akulaku"], "stock": {PHONE: 1}}])
    line = draft.allocations.get()
    Allocation.objects.filter(pk=line.pk).update(listed_only=True)
    (url,) = action_links(alice.get(reverse("admin:flashsale_sale_change", args=[draft.pk])), "list")
    page = submit(alice, url, line=line.pk, axis="account", people="ani\nbudi")
    text = "An account is known to one partner: a list of accounts needs a line with one channel."
    assert page.context["form"].errors == {"axis": [text]}
    assert "ani\nbudi" in page.content.decode()
    assert not line.list_entries.exists()
