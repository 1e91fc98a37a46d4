"""A list can be filtered only by what it shows, so that no hidden field can be guessed letter by letter."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse

from flashsale.models import Sale
from tests import samples
from tests.factories import draft_sale, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

KINDS = ("", "__exact", "__iexact", "__regex", "__startswith", "__contains", "__isnull", "__in", "__gt", "__range")
STATE = {"state__exact", "state__isnull"}
# By the admin's model: all that its lists may be filtered by.
SHOWN: dict[str, set[str]] = {
    "campaign": set(),
    "channel": {"campaign__id__exact", "campaign__isnull", "kind__exact", "kind__isnull"},
    "partnerkey": {
        "channel__campaign__id__exact", "channel__campaign__isnull", "channel__id__exact", "channel__isnull",
    },
    "sale": {"stage", "opening", "campaign__id__exact", "campaign__isnull"},
    "unit": {
        *STATE, "campaign__id__exact", "campaign__isnull", "sku", "sku__isnull", "allocation__sale__id__exact",
        "allocation__sale__isnull",
    },
    "reservation": {
        "days", *STATE, "sale__id__exact",
        "sale__isnull", "channel__id__exact", "channel__isnull", "id__in",
    },
    "case": {"deadline", "whose", *STATE, "reservation__sale__id__exact",
    "reservation__sale__isnull", "run__id__exact", "run__isnull", "group",
    },
    "appeal": {"days", *STATE, "case__reservation__sale__id__exact", "case__reservation__sale__isnull"},
    "notice": {"days", *STATE, "failure__exact", "failure__isnull",
    "kind__exact", "kind__isnull", "sale__id__exact", "sale__isnull",
    },
    "event": {"days", "type", "sale__id__exact",
    "sale__isnull", "channel__id__exact", "channel__isnull", "reservation",
    },
    "paymentattempt": {"days", *STATE, "account", "account__isnull", "method", "method__isnull"},
    "refund": {"days", "provider", *STATE, "waits__exact", "waits__isnull", "why__exact", "why__isnull"},
    "reallocation": {"source__id__exact", "source__isnull", "target__sale__id__exact", "target__sale__isnull"},
    "record": {"days", "what", "what__isnull", "campaign__id__exact",
    "campaign__isnull", "sale__id__exact", "sale__isnull", "subject",
    },
    "reviewrun": {"days", "sale__id__exact", "sale__isnull", "dry__exact", "dry__isnull"},
    "publishedruleset": {"trial__exact", "trial__isnull"},
    "user": {
        "is_staff__exact", "is_staff__isnull", "is_superuser__exact", "is_superuser__isnull", "is_active__exact",
        "is_active__isnull", "groups__id__exact", "groups__isnull",
    },
    "group": set(),
    "listedvalue": {
        "effect", "kind__exact", "kind__isnull", "axis", "axis__isnull", "campaign__id__exact", "campaign__isnull",
    },
    "webhook": {"off__exact", "off__isnull", "channel__campaign__id__exact", "channel__campaign__isnull"},
    "delivery": {"days", *STATE, "failure__exact", "failure__isnull", "webhook__id__exact", "webhook__isnull"},
    "personrequest": {
        *STATE, "kind__exact", "kind__isnull", "reason__exact", "reason__isnull",
    },
    "rehearsal": STATE,
    "settlement": {"days", "channel__id__exact", "channel__isnull", "sale__id__exact", "sale__isnull"},
}  # fmt: skip


def _list_url(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _paths(model: Any, hops: int = 1) -> Iterator[str]:
    """The lookup paths of all fields of a model, and of all models that are one step away in either direction."""
    for field in model._meta.get_fields():
        yield field.name
        if field.related_model and hops:
            yield from (f"{field.name}__{path}" for path in _paths(field.related_model, hops - 1))


def test_every_admin_allows_exactly_the_lookups_that_its_list_shows(root: Client) -> None:
    request = root.get("/admin/").wsgi_request
    assert {model._meta.model_name for model in admin.site._registry} == set(SHOWN)
    for model, page in admin.site._registry.items():
        shown = SHOWN[model._meta.model_name]
        tried = {f"{path}{kind}" for path in _paths(model) for kind in KINDS} | shown
        allowed = {lookup for lookup in tried if page.lookup_allowed(lookup, "1", request)}
        assert allowed == shown, model


@pytest.mark.slow
def test_every_lookup_by_a_hidden_field_is_refused_in_words(root: Client) -> None:
    for model in admin.site._registry:
        for path in samples.some(_paths(model), 8):
            lookup = f"{path}__regex"
            page = root.get(_list_url(model), {lookup: "^..[0-7]"})
            assert page.status_code == 400, (model, lookup)
            assert f"This list cannot be filtered by {lookup}." in page.content.decode(), (model, lookup)


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda model: model._meta.model_name)
def test_every_lookup_that_a_list_shows_works(root: Client, model: Any) -> None:
    for lookup in SHOWN[model._meta.model_name]:
        value = (
            str(uuid4())
            if lookup in {"id__in", "reservation"}
            else "1"
            if lookup.endswith(("id__exact", "isnull"))
            else "0"
        )
        assert root.get(_list_url(model), {lookup: value}).status_code == 200, lookup


@pytest.mark.parametrize(
    "lookup",
    ["secret__regex", "secret__startswith", "secret__isnull", "secret", "commitment__regex", "campaign__salt__regex"],
)
def test_a_viewer_learns_nothing_of_the_draws_secret(dave: Client, lookup: str) -> None:
    lobby_sale()
    for value in ("^..[0-7]", "^..[8-f]"):
        page = dave.get(_list_url(Sale), {lookup: value})
        assert (page.status_code, b"26 January" in page.content) == (400, False)


def test_a_refusal_names_what_the_list_can_be_filtered_by(dave: Client) -> None:
    page = dave.get("/admin/flashsale/notice/", {"reservation__asked__startswith": "a"})
    text = page.content.decode()
    assert "It can be filtered by: state, why it failed, kind, period, sale." in text
    assert page["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


def test_a_value_that_postgresql_cannot_hold_is_refused(dave: Client) -> None:
    for lookup in ("sku", "state__exact"):
        page = dave.get("/admin/flashsale/unit/", {lookup: "a\0b"})
        assert (page.status_code, f"cannot be filtered by {lookup}." in page.content.decode()) == (400, True)


def test_a_list_is_ordered_only_by_its_columns(root: Client) -> None:
    draft_sale()
    for model, page in admin.site._registry.items():
        request = root.get(_list_url(model)).wsgi_request
        columns = len(page.get_list_display(request)) + 1
        up, down = (".".join(str(sign * column) for column in range(columns + 3)) for sign in (1, -1))
        for order in (up, down, "secret", "-secret", "99", "a.b"):
            changelist = root.get(_list_url(model), {"o": order}).context["cl"]
            assert not {"secret", "salt", "digest", "password", "sealed"} & {
                str(part).strip("-") for part in changelist.get_ordering(request, changelist.root_queryset)
            }


def test_a_search_reads_its_text_literally_and_only_in_columns_that_are_shown(root: Client) -> None:
    sale = draft_sale()
    assert root.get(_list_url(Sale), {"q": sale.code}).context["cl"].result_count == 1
    for text in (".*", "^s", "%", "_", sale.campaign.time_zone):
        assert root.get(_list_url(Sale), {"q": text}).context["cl"].result_count == 0, text


def test_only_the_primary_key_leads_to_a_row(root: Client) -> None:
    for model in admin.site._registry:
        for field in model._meta.fields:
            wanted = 200 if field.primary_key else 400
            assert root.get(_list_url(model), {"_to_field": field.name}).status_code == wanted, (model, field.name)
    sale = lobby_sale()
    url = reverse("admin:flashsale_sale_change", args=[sale.commitment])
    page = root.get(url, {"_to_field": "commitment"})
    assert page.status_code == 400
    assert "A row of this list cannot be chosen by commitment." in page.content.decode()


def test_no_admin_completes_what_is_typed(root: Client) -> None:
    lobby_sale()
    for model in admin.site._registry:
        for field in model._meta.fields:
            if field.remote_field:
                query = {"app_label": model._meta.app_label, "model_name": model._meta.model_name}
                page = root.get("/admin/autocomplete/", {**query, "field_name": field.name, "term": ""})
                assert page.status_code in {403, 404}, (model, field.name)


def test_no_list_is_edited_in_place() -> None:
    """A list that is edited in place would save rows without their form, its lock and its record in the trail."""
    assert [page for page in admin.site._registry.values() if page.list_editable or page.date_hierarchy] == []
