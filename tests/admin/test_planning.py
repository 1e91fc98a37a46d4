"""Forms take values in the units that people use, propose axes, and ask what a new zone means for drafts."""

import html
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from flashsale.life import schedule
from flashsale.models import Allocation, Campaign, ListEntry, Offer, Record, Sale, Stock
from flashsale.rules.identity import Axis
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.factories import OFFERS, PHONE, draft_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
ADD_CAMPAIGN, ADD_SALE = "/admin/flashsale/campaign/add/", "/admin/flashsale/sale/add/"


def _url(row: Any, action: str = "change") -> str:
    name = f"admin:flashsale_{row._meta.model_name}"
    return (
        reverse(f"{name}_change", args=[row.pk]) if action == "change" else f"{reverse(f'{name}_{action}')}?id={row.pk}"
    )


def test_a_new_campaign_proposes_two_hard_axes_and_needs_one(alice: Client) -> None:
    page = form_values(alice.get(ADD_CAMPAIGN))
    assert (page["limit"], page["appeal_s_text"], page["undo_s_text"]) == (["1"], ["24 h"], ["10 min"])
    submit(alice, ADD_CAMPAIGN, code="one", name="One")
    assert list(Campaign.objects.get().axes.values_list("axis", "hard", "checked_at").order_by("pk")) == [
        ("phone", True, "enter"), ("email", True, "enter"),
    ]  # fmt: skip
    bare = submit(alice, ADD_CAMPAIGN, code="two", name="Two", **{"axes-0-DELETE": "on", "axes-1-DELETE": "on"})
    formset = bare.context["inline_admin_formsets"][0].formset
    text = "A campaign needs an axis: without one, it knows no people, and the limit counts nothing."
    assert (formset.non_form_errors(), Campaign.objects.count()) == ([text], 1)
    only = {"axes-0-DELETE": "on", "axes-1-DELETE": "on"}
    assert not submit(alice, _url(Campaign.objects.get()), **only).redirect_chain
    assert Campaign.objects.get().axes.count() == 2
    sale = draft_sale(poco_campaign(axes={Axis.PHONE: "hard confirm"}))
    assert alice.get(_url(sale, "publish")).context["obstacles"] == [
        "The campaign needs a hard axis that is checked when entering.",
    ]  # fmt: skip


def test_a_sale_is_typed_in_minutes_and_rupiah_and_old_posts_in_seconds_still_work(alice: Client) -> None:
    campaign = poco_campaign()
    page = form_values(alice.get(ADD_SALE))
    assert (page["claim_s_text"], page["hold_s_text"], page["poll_ms_text"]) == (["5 min"], ["15 min"], ["0"])
    typed = {
        "campaign": campaign.pk, "code": "29-jan", "name": "29 January", "opens_at": "2027-01-29T10:00",
        "closes_at": "2027-01-29T12:00", "claim_s_text": "3 menit", "poll_ms_text": "2500 ms",
        "offers-0-sku": "A", "offers-0-name": "A", "offers-0-price": "1.799.000",
    }  # fmt: skip
    for field, wrong, text in (
        ("claim_s_text", "5", "5: say the unit, such as 5 min, 90 s or 24 h."),
        ("claim_s_text", "2 days", "From 1 s to 24 h."),
        ("hold_s_text", "1500 ms", "Write whole seconds."),
        ("offers-0-price", "1.799", "1.799 has two meanings: a group of thousands, or a rounded number."),
    ):  # fmt: skip
        refused = submit(alice, ADD_SALE, **{**typed, field: wrong})
        assert text in html.unescape(refused.content.decode())
        assert form_values(refused)[field] == [wrong]
    assert not Sale.objects.exists()
    submit(alice, ADD_SALE, **typed)
    sale = Sale.objects.get()
    assert (sale.claim_s, sale.hold_s, sale.poll_ms, sale.offers.get().price) == (180, 900, 2500, 1_799_000)
    assert sale.opens_at - sale.lobby_at == timedelta(hours=24)
    page = form_values(alice.get(_url(sale)))
    assert (page["claim_s_text"], page["offers-0-price"]) == (["3 min"], ["Rp 1.799.000"])
    records = Record.objects.count()
    assert messages_on(submit(alice, _url(sale))) == [
        "Nothing was changed: the form has the values that were stored already.",
    ]  # fmt: skip
    assert Record.objects.count() == records
    submit(alice, _url(sale), claim_s="300", hold_s="60", poll_ms="1000", **{"offers-0-price": "1999000"})
    sale.refresh_from_db()
    assert (sale.claim_s, sale.hold_s, sale.poll_ms, sale.offers.get().price) == (300, 60, 1000, 1_999_000)
    submit(alice, _url(campaign), appeal_s_text="2 hari", undo_s="0")
    campaign.refresh_from_db()
    assert (campaign.appeal_s, campaign.undo_s) == (172_800, 0)


def test_a_new_zone_asks_whether_the_clock_times_or_the_moments_of_drafts_stay(alice: Client) -> None:
    campaign = poco_campaign()
    at = datetime(2027, 1, 29, 3, tzinfo=UTC)
    lines = [{"code": "late", "channels": ["lazada"], "stock": {PHONE: 1}, "opens_at": at + timedelta(minutes=30)}]
    sale = draft_sale(campaign, lines=lines, opens_at=at, closes_at=at + timedelta(hours=2))
    assert "keep_times" not in form_values(alice.get(ADD_CAMPAIGN))
    asked = submit(alice, _url(campaign), time_zone="WITA")
    assert asked.context["adminform"].form.errors["keep_times"] == [
        "The campaign has 1 draft with times in Asia/Jakarta. Say what stays when the zone changes.",
    ]  # fmt: skip
    submit(alice, _url(campaign), time_zone="WITA", keep_times="moment")
    sale.refresh_from_db()
    assert (Campaign.objects.get().time_zone, sale.opens_at) == ("Asia/Makassar", at)
    assert json.loads(Record.objects.filter(what="zone").first().facts) == {"drafts": "moments stay"}
    submit(alice, _url(campaign), time_zone="WIT", keep_times="clock")
    sale.refresh_from_db()
    earlier = at - timedelta(hours=1)
    assert (sale.opens_at, sale.closes_at, sale.lobby_at) == tuple(
        earlier + timedelta(hours=hours) for hours in (0, 2, -24)
    )
    assert Allocation.objects.get().opens_at == earlier + timedelta(minutes=30)
    assert json.loads(Record.objects.filter(what="zone").first().facts) == {
        "drafts": "clock times stay", "opens_at": {f"sale:{sale.pk}": [at.isoformat(), earlier.isoformat()]},
    }  # fmt: skip
    skipped = datetime(2027, 3, 28, 2, 30, tzinfo=UTC) - timedelta(hours=9)
    Sale.objects.update(lobby_at=skipped, opens_at=skipped, closes_at=skipped + timedelta(minutes=45))
    refused = submit(alice, _url(campaign), time_zone="Europe/Berlin", keep_times="clock")
    text = "The clocks there skip an opening or a closing. Change the times of the draft first."
    assert refused.context["adminform"].form.errors["keep_times"] == [text]
    assert Campaign.objects.get().time_zone == "Asia/Jayapura"


def test_a_table_is_imported_after_a_page_that_says_what_changes(alice: Client, dave: Client) -> None:
    campaign = poco_campaign()
    url = _url(campaign, "import")
    assert (dave.get(url).status_code, dave.post(url, {}).status_code) == (403, 403)
    assert action_links(alice.get(_url(campaign)), "import") == [url]
    template = alice.get(reverse("admin:flashsale_campaign_template", args=["slots"]))
    assert template.content.startswith("\ufeffcode,name,opens,closes,".encode())
    assert alice.get("/admin/flashsale/campaign/template/none.csv").status_code == 404
    wrong = SimpleUploadedFile("s.csv", "kode;buka;tutup\na;tomorrow;2 jam\nb;2027-01-29 10:00;9:00\n".encode("utf-16"))
    page = alice.post(url, {**form_values(alice.get(url)), "file": wrong})
    assert page.context["preview"].obstacles == [
        "line 2, opens: tomorrow: not a time. Write one such as 2027-01-29 10:00 or 29/01/2027 10:00 WIB.",
        "line 3, closes: The sale must open before it closes.",
    ]
    shown = alice.post(url, {"file": SimpleUploadedFile("slots.csv", template.content)})
    assert shown.context["preview"].tables[0].rows == [["new: sale 29-jan"]]
    assert not Sale.objects.exists()
    confirm = form_values(shown)
    assert messages_on(alice.post(url, confirm, follow=True)) == ["1 change was made."]
    sale = Sale.objects.get()
    assert (sale.code, sale.opens_at, sale.claim_s, sale.state) == (
        "29-jan", datetime(2027, 1, 29, 3, tzinfo=UTC), 300, "draft",
    )  # fmt: skip
    again = alice.post(url, confirm)
    assert again.context["preview"].sentences == ["Nothing changes: everything in the table is there already."]
    url = _url(sale, "import")
    for text in (f"sku,name,price\n{PHONE},Phone,Rp 1.799.000", f"line;channels;sku;units\nvip;lazada;{PHONE};500"):
        assert alice.post(url, form_values(submit(alice, url, content=text))).status_code == 302
    people = "line,axis,value\nvip,phone,0812 1111 1111\nvip,email,ani@example.com\n"
    assert alice.post(url, form_values(submit(alice, url, content=people))).status_code == 302
    assert (Offer.objects.get().price, Stock.objects.get().quantity, ListEntry.objects.count()) == (1_799_000, 500, 2)
    alice_name = f"staff:{User.objects.get(username='alice').pk}"
    assert set(Record.objects.filter(what__in=["apply_plan", "list"]).values_list("who", flat=True)) == {alice_name}
    for file, text in (
        (b"PK\x03\x04", "This is a workbook of a spreadsheet. Save it as CSV (UTF-8), then send that file."),
        (b"x" * 150_001, "The file has 150001 bytes, which is too much. Divide it, or use manage.py plan."),
    ):
        refused = alice.post(url, {"file": SimpleUploadedFile("a.csv", file)})
        assert refused.context["form"].non_field_errors() == [text]
    assert submit(alice, url).context["form"].non_field_errors() == ["Choose a file, or paste a table."]
    schedule.publish(sale=draft_sale(campaign, code="other", offers=OFFERS))
    assert "0812" not in str(list(Record.objects.values_list("facts", flat=True)))
