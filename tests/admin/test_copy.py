"""A sale or a campaign is copied to a new opening. The page shows the drafts first; a second click makes them once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.life import copy_plan, schedule
from flashsale.models import Allocation, Campaign, Channel, ListEntry, PartnerKey, Record, Sale
from flashsale.rules.identity import Axis
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.factories import OFFERS, PHONE, draft_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
BERLIN = ZoneInfo("Europe/Berlin")


def _tranches(campaign: Campaign, **fields: Any) -> Sale:
    """A sale with a list, a later line and a successor, on the day before the clocks go forward."""
    opens = datetime(2027, 3, 20, 10, tzinfo=campaign.zone)
    half = opens + timedelta(minutes=30)
    lines = [
        {"code": "wronged", "channels": ["lazada"], "stock": {PHONE: 5}, "listed": [(Axis.PHONE, "0812 1111 1111")],
         "successor": "everybody", "rolls_over_at": half},
        {"code": "everybody", "name": "Everybody", "channels": ["akulaku"], "stock": {PHONE: 0}, "opens_at": half},
    ]  # fmt: skip
    values = {"code": "mar-20", "name": "20 March", "lobby_at": opens - timedelta(hours=20), "claim_s": 120, **fields}
    return schedule.plan_sale(
        campaign=campaign, offers=OFFERS, lines=lines, opens_at=opens, closes_at=opens + timedelta(hours=2), **values
    )


def _local(row: Any, *names: str) -> list[str]:
    return [getattr(row, name).astimezone(BERLIN).strftime("%d %H:%M") for name in names]


def test_a_copy_keeps_its_clock_times_when_the_clocks_change_and_its_lines_their_structure(alice: Client) -> None:
    campaign = poco_campaign(time_zone="Europe/Berlin")
    sale = _tranches(campaign, message="Sorry", poll_ms=9000)
    (url,) = action_links(alice.get(reverse("admin:flashsale_sale_change", args=[sale.pk])), "copy")
    page = alice.get(url)
    values = form_values(page)
    assert (values["opens_at"], values["code"], values["name"]) == (["2027-03-27T10:00:00"], ["mar-20-2"], ["20 March"])
    typed = {"opens_at": "2027-03-28T10:00", "name": "28 March", "lists": "on"}
    records = Record.objects.count()
    shown = submit(alice, url, **typed)
    assert [field.label for field in shown.context["form"]] == [field.label for field in page.context["form"]]
    times, lines = shown.context["preview"].tables
    assert times.rows[0][1:5] == [
        "mar-20-2", "27 March 2027 14:00 CET", "28 March 2027 10:00 CEST", "28 March 2027 12:00 CEST",
    ]  # fmt: skip
    assert [row[1:] for row in lines.rows] == [
        ["wronged", "lazada", f"{PHONE}: 5", "–", "everybody, 28 March 2027 10:30 CEST"],
        ["Everybody", "akulaku", f"{PHONE}: 0", "28 March 2027 10:30 CEST", "–"],
    ]
    assert (Sale.objects.count(), Record.objects.count()) == (1, records)
    confirm = form_values(shown)
    made = alice.post(url, confirm, follow=True)
    assert messages_on(made) == ["28 March is a new draft. Look at it, then publish it."]
    copy = Sale.objects.get(code="mar-20-2")
    assert _local(copy, "lobby_at", "opens_at", "closes_at") == ["27 14:00", "28 10:00", "28 12:00"]
    assert copy.opens_at == datetime(2027, 3, 28, 8, tzinfo=UTC)
    assert (copy.state, copy.claim_s, copy.message, copy.poll_ms) == ("draft", 120, "", 0)
    wronged, everybody = copy.allocations.order_by("line_id")
    assert (wronged.successor, wronged.listed_only, wronged.list_entries.count()) == (everybody, True, 1)
    assert _local(wronged, "rolls_over_at") == _local(everybody, "opens_at") == ["28 10:30"]
    assert list(copy.offers.values_list("sku", "price")) == list(sale.offers.values_list("sku", "price"))
    records = Record.objects.count()
    assert messages_on(alice.post(url, confirm, follow=True)) == messages_on(made)
    assert (Sale.objects.count(), Record.objects.count()) == (2, records)
    with pytest.raises(ValidationError):
        copy_plan.copy_sale(sale=sale, opens_at=copy.opens_at + timedelta(days=1), code="mar-20-2", name="28 March")
    assert Sale.objects.count() == 2


def test_a_preview_is_shown_again_when_the_form_or_the_sale_has_changed(alice: Client) -> None:
    sale = draft_sale()
    (url,) = action_links(alice.get(reverse("admin:flashsale_sale_change", args=[sale.pk])), "copy")
    shown = form_values(submit(alice, url))
    assert "lists" not in shown
    for changed in ({"name": ["Another"]}, {"_preview": ["1"]}):
        assert alice.post(url, {**shown, **changed}).context["preview"] is not None
    Allocation.objects.filter(sale=sale).update(name="renamed")
    again = alice.post(url, shown)
    assert "renamed" in str(again.context["preview"].tables[1].rows)
    passed = submit(alice, url, opens_at="2021-01-29T10:00")
    assert passed.context["preview"].obstacles == [
        f"{shown['code'][0]} would open in the past. Choose a later opening.",
    ]  # fmt: skip
    assert Sale.objects.count() == 1
    assert alice.post(url, form_values(again)).status_code == 302
    assert Sale.objects.count() == 2


def test_a_copied_campaign_has_its_sales_and_nothing_of_people(alice: Client, dave: Client) -> None:
    campaign = poco_campaign(time_zone="Europe/Berlin")
    first = _tranches(campaign)
    later = timezone.now() + timedelta(days=200)
    rerun = [{"code": "again", "channels": ["lazada"], "stock": {PHONE: 1}, "carries": first.allocations.first()}]
    second = draft_sale(campaign, lines=rerun, code="apr-1", opens_at=later, closes_at=later + timedelta(hours=1))
    PartnerKey.make(campaign.channels.get(code="lazada"))
    url = reverse("admin:flashsale_campaign_copy") + f"?id={campaign.pk}"
    assert dave.get(url).status_code == 403
    shown = form_values(submit(alice, url, opens_at="2027-04-03T10:00", code="poco-again"))
    assert alice.post(url, shown, follow=True).status_code == 200
    copy = Campaign.objects.get(code="poco-again")
    assert bytes(copy.salt) != bytes(campaign.salt)
    assert list(copy.axes.values_list("axis", "hard", "checked_at")) == list(
        campaign.axes.values_list("axis", "hard", "checked_at")
    )
    names = ("code", "name", "kind", "entry_url", "order_letters")
    assert list(copy.channels.values_list(*names)) == list(campaign.channels.values_list(*names))
    assert (PartnerKey.objects.filter(channel__campaign=copy).count(), ListEntry.objects.count()) == (0, 1)
    new_first, new_second = copy.sales.order_by("opens_at")
    assert (new_first.code, new_second.code) == ("mar-20-2", "apr-1-2")
    shifts = [
        new.opens_at.astimezone(BERLIN).replace(tzinfo=UTC) - old.opens_at.astimezone(BERLIN).replace(tzinfo=UTC)
        for new, old in ((new_first, first), (new_second, second))
    ]
    assert shifts == [timedelta(days=14)] * 2
    assert new_second.allocations.get().carries == new_first.allocations.order_by("line_id").first()
    assert json.loads(Record.objects.filter(what="copy").get().facts)["from"] == f"campaign:{campaign.pk}"
    assert alice.post(url, shown, follow=True).status_code == 200
    assert (Campaign.objects.count(), Sale.objects.count(), Channel.objects.count()) == (2, 4, 8)
