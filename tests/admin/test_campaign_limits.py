"""A user who is limited to some campaigns sees and changes nothing of the others, on no page of the admin."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.db.models import F, ProtectedError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.admin.listed_value import ListedValueForm
from flashsale.life.find_orders import find_orders
from flashsale.life.staff_campaigns import PATHS, rows_of
from flashsale.models import (
    Alarm,
    Campaign,
    Case,
    Channel,
    PublishedRuleSet,
    Record,
    Refund,
    Reservation,
    ReviewRun,
    Sale,
    Settlement,
    StaffCampaign,
)
from tests.admin.filled import fill_every_table, row_urls
from tests.admin.forms import action_links, form_values
from tests.factories import draft_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
HIDDEN = "Rahasia-Kampanye"


@pytest.fixture
def limited(make_user: Callable[..., Client]) -> Client:
    """Erin has every permission, and only one campaign, which has a draft."""
    client = make_user("erin", "viewer")
    erin = User.objects.get(username="erin")
    erin.user_permissions.set(Permission.objects.all())
    StaffCampaign.objects.create(user=erin, campaign=draft_sale(poco_campaign(name="Erin's own")).campaign)
    return client


def _models() -> Iterator[Any]:
    yield from admin.site._registry.items()


def _foreign(model: Any) -> list[Any]:
    """The rows of this model that the limited user must not see."""
    erin = User.objects.get(username="erin")
    own = rows_of(model._default_manager.all(), erin).values_list("pk", flat=True)
    return list(model._default_manager.exclude(pk__in=list(own))[:3])


def test_no_page_shows_a_row_of_another_campaign(limited: Client, bob: Client, carol: Client, root: Client) -> None:
    campaign = fill_every_table(bob, carol, text=HIDDEN)
    secrets = [HIDDEN, *Sale.objects.filter(campaign=campaign).values_list("code", flat=True), campaign.code]
    secrets += [str(pk) for pk in Reservation.objects.values_list("pk", flat=True)]
    # The control: the walk finds rows of every model, and a superuser sees them.
    seen = root.get("/admin/").content.decode() + root.get("/admin/flashsale/sale/").content.decode()
    assert HIDDEN in seen
    count = Record.objects.count()
    for model, page in _models():
        rows = _foreign(model)
        assert rows or PATHS.get(model._meta.label_lower, "") is None, f"no row of {model.__name__} to try"
        listed = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for query in ("", "?q=Rahasia", "?q=sale", "?all=", "?o=1"):
            _assert_hidden(limited.get(listed + query), secrets, listed + query)
        for row in rows:
            for url in row_urls(page, row.pk):
                for answer in (limited.get(url), limited.post(url, {"post": "yes", "reason": "unit_unavailable"})):
                    # A page without a row in its path takes no notice of ?id=.
                    shown = {200} if "?id=" in url else set()
                    assert answer.status_code in {302, 400, 403, 404, 405} | shown, (url, answer.status_code)
                    _assert_hidden(answer, secrets, url)
    for url in (
        "/admin/",
        "/admin/flashsale/refund/waiting/",
        "/admin/flashsale/sale/add/",
        "/admin/flashsale/record/",
        "/admin/flashsale/sale/board/",
        "/admin/flashsale/sale/month/",
        "/admin/flashsale/reservation/support/",
        "/admin/flashsale/reservation/exports/",
    ):
        page = limited.get(url)
        assert page.status_code == 200, url
        _assert_hidden(page, secrets, url)
    order = Reservation.objects.select_related("sale").first()
    assert order is not None
    for typed in (str(order.pk), order.attempts.first().reference, f"{order.sale.code} {order.number}", "081200000001"):
        found = limited.post("/admin/flashsale/reservation/support/", {"typed": typed, "why": "order"})
        assert 'href="/admin/flashsale/reservation/' not in found.content.decode().split("</form>")[-1]
    for name in ("orders", "units", "payments", "refunds", "cases", "trail"):
        file = limited.post("/admin/flashsale/reservation/exports/", {"name": name, "form": "csv", "why": "money"})
        assert file["Content-Type"].startswith("text/csv"), name
        _assert_hidden(file, secrets, name)
    assert limited.get("/admin/flashsale/personrequest/add/").status_code == 403
    # Neither the walk nor its forms have changed anything of the other campaign.
    assert Record.objects.filter(position__gt=count, campaign=campaign).exists() is False
    assert Campaign.objects.filter(pk=campaign.pk, name=HIDDEN).exists()


def _assert_hidden(answer: Any, secrets: list[str], url: str) -> None:
    text = b"".join(answer.streaming_content).decode() if answer.streaming else answer.content.decode()
    # Django repeats the id that the walk has asked for before.
    text = re.sub(r"ID “[^”]*” doesn’t exist", "", text)
    assert [secret for secret in secrets if secret in text] == [], url


def test_filters_searches_actions_and_forms_reach_no_other_campaign(
    limited: Client, bob: Client, carol: Client
) -> None:
    campaign = fill_every_table(bob, carol, text=HIDDEN)
    sale, order = Sale.objects.filter(campaign=campaign).first(), Reservation.objects.first()
    assert sale is not None
    assert order is not None
    for model, query in (
        ("sale", f"campaign__id__exact={campaign.pk}"),
        ("reservation", f"id__in={order.pk}"),
        ("reservation", f"sale__id__exact={sale.pk}"),
        ("unit", f"allocation__sale__id__exact={sale.pk}"),
        ("record", f"subject=sale:{sale.pk}"),
        ("event", f"reservation={order.pk}"),
    ):
        page = limited.get(f"/admin/flashsale/{model}/?{query}")
        assert page.status_code == 200
        shown = {row.pk for row in page.context["cl"].queryset}
        assert shown.isdisjoint(row.pk for row in _foreign(page.context["cl"].model)), query
    # An action of the list with the id of another campaign's row chooses nothing.
    chosen = {"action": "open-case", "_selected_action": [str(order.pk)]}
    assert limited.post("/admin/flashsale/reservation/", chosen).status_code == 302
    assert limited.get(reverse("admin:flashsale_reservation_open-case"), {"id": str(order.pk)}).status_code == 404
    # The search knows neither the id, nor the reference, nor the person.
    erin = User.objects.get(username="erin")
    reference = order.attempts.get().reference
    assert find_orders(typed=str(order.pk), by=erin, sees_contacts=True) == []
    for typed in (reference, "no-such-reference"):
        with pytest.raises(ValidationError, match="no payment reference"):
            find_orders(typed=typed, by=erin, sees_contacts=True)
    # Exports have only rows of the own campaign.
    file = reverse("admin:flashsale_settlement_file", args=[Settlement.objects.get().pk, "csv"])
    assert limited.get(file).status_code == 404
    file_answer: Any = limited.post(reverse("admin:flashsale_refund_transfers"))
    transfers = b"".join(file_answer.streaming_content)
    assert transfers.count(b"\n") == 1
    # A form cannot put a sale into another campaign.
    values = {**form_values(limited.get("/admin/flashsale/sale/add/")), "campaign": campaign.pk, "code": "smuggled"}
    page = limited.post("/admin/flashsale/sale/add/", values)
    assert "campaign" in page.context["adminform"].form.errors
    assert not Sale.objects.filter(code="smuggled").exists()
    # What counts for all campaigns, and new campaigns, are not for limited users.
    for model in ("campaign", "publishedruleset"):
        assert limited.get(f"/admin/flashsale/{model}/add/").status_code == 403
    assert Refund.objects.filter(state="transferred").count() == 0


def test_no_list_of_choices_alarm_count_or_action_reaches_another_campaign(
    limited: Client, bob: Client, carol: Client
) -> None:
    campaign = fill_every_table(bob, carol, text=HIDDEN)
    sale, order = Sale.objects.filter(campaign=campaign).first(), Reservation.objects.first()
    assert sale is not None
    erin = User.objects.get(username="erin")
    Sale.objects.filter(pk=sale.pk).update(closes_at=F("opens_at") + timedelta(milliseconds=1))
    rules = PublishedRuleSet.newest()
    try_it = f"{reverse('admin:flashsale_publishedruleset_try')}?id={rules.pk}"
    page = limited.get(try_it)
    assert (
        page.status_code,
        HIDDEN in page.content.decode(),
        sale.pk in page.context["form"].fields["sale"].queryset.values_list("pk", flat=True),
    ) == (200, False, False)
    limited.post(try_it, {"sale": sale.pk})
    assert not ReviewRun.objects.filter(sale=sale, dry=True, asked_by=erin).exists()
    now = timezone.now()
    for subject, code in ((f"sale:{sale.pk}", "promise_broken"), ("", "gate_down")):
        Alarm.objects.create(
            code=code,
            subject=subject,
            facts={"sale": HIDDEN, "titles": "x"},
            noticed_at=now,
            seen_at=now,
            raised_at=now,
        )
    Case.objects.filter(reservation=order).update(
        state="open", proposed_by=None, decided_by=None, proposed_at=None, decided_at=None, due_at=None
    )
    for url in ("/admin/", "/admin/flashsale/sale/board/"):
        page = limited.get(url)
        assert (HIDDEN in page.content.decode(), "Redis (the gate) does not answer" in page.content.decode()) == (
            False,
            True,
        ), url
    assert page.context["backlog"] == 0
    # What counts for all campaigns, and new campaigns, are not made by an action either.
    own = Campaign.objects.get(name="Erin's own")
    copy = f"{reverse('admin:flashsale_campaign_copy')}?id={own.pk}"
    assert (limited.get(copy).status_code, limited.post(copy, {"code": "mine", "name": "Mine"}).status_code) == (
        403,
        403,
    )
    assert action_links(limited.get(reverse("admin:flashsale_campaign_change", args=[own.pk])), "copy") == []
    assert limited.post(f"{reverse('admin:flashsale_publishedruleset_use')}?id={rules.pk}").status_code == 403
    assert not Campaign.objects.filter(code="mine").exists()


def test_a_limited_user_works_in_the_own_campaign(limited: Client) -> None:
    sale = Sale.objects.get()
    assert limited.get(reverse("admin:flashsale_sale_change", args=[sale.pk])).status_code == 200
    assert limited.get(reverse("admin:flashsale_sale_publish"), {"id": sale.pk}).status_code == 200
    page = limited.get("/admin/flashsale/sale/add/").content.decode()
    assert "Erin&#x27;s own" in page


def test_the_form_of_a_list_entry_offers_own_channels_to_each_of_two_users_at_once(
    limited: Client, root: Client
) -> None:
    other = draft_sale(poco_campaign(name=HIDDEN)).campaign
    url = "/admin/flashsale/listedvalue/add/"
    assert HIDDEN in root.get(url).content.decode()
    assert HIDDEN not in limited.get(url).content.decode()
    # All requests share the declared field. If one request sets its rows, it sets them for the others, too.
    declared: Any = ListedValueForm.base_fields["channel"]
    assert list(declared.queryset) == []
    own = Channel.objects.exclude(campaign=other)
    form = root.get(url).context["adminform"].form
    limited.get(url)
    assert set(form.fields["channel"].queryset) == set(Channel.objects.all()) != set(own)


def test_a_campaign_that_somebody_is_limited_to_cannot_be_deleted(limited: Client) -> None:
    """Otherwise the user would have no campaign left, which means all."""
    Sale.objects.all().delete()
    campaign = Campaign.objects.get()
    with pytest.raises(ProtectedError):
        campaign.delete()
    page = limited.post(reverse("admin:flashsale_campaign_delete", args=[campaign.pk]), {"post": "yes"})
    assert page.status_code == 200
    assert Campaign.objects.count() == StaffCampaign.objects.count() == 1


def test_a_limited_user_sees_no_row_of_a_model_without_a_rule(limited: Client) -> None:
    erin = User.objects.get(username="erin")
    assert User.objects.exists()
    assert not rows_of(User.objects.all(), erin).exists()
    shown = {model._meta.label_lower for model, _page in _models()}
    assert shown - PATHS.keys() == {"auth.user", "auth.group", "flashsale.personrequest"}
    for label, path in PATHS.items():
        assert rows_of(apps.get_model(label)._default_manager.all(), erin).count() >= 0, path
