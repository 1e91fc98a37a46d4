"""The month view shows planned sales with their clashes, and a calendar reads them by a secret link."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from config.planning import hours
from flashsale.life import schedule
from flashsale.models import CalendarLink, Record, Sale
from flashsale.rules.states import SaleState
from tests.admin.forms import form_values, messages_on
from tests.factories import PHONE, draft_sale, poco_campaign, rewrite

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
MONTH, CALENDAR = "/admin/flashsale/sale/month/", "/admin/flashsale/sale/calendar/"
WIB = ZoneInfo("Asia/Jakarta")


def _days(page: Any) -> dict[date, list[tuple[str, str, str]]]:
    days = (day for week in page.context["weeks"] for day in week)
    return {
        day.day: [(entry.opens, entry.sale.name, entry.closes) for entry in day.entries] for day in days if day.entries
    }


def _sale(campaign: Any, name: str, opens: datetime, hours: float = 2, **fields: Any) -> Sale:
    return draft_sale(campaign, name=name, opens_at=opens, closes_at=opens + timedelta(hours=hours), **fields)


def test_a_month_shows_each_sale_on_the_day_of_its_zone_and_leads_to_it(alice: Client, dave: Client) -> None:
    jakarta, jayapura = poco_campaign(), poco_campaign(name="East", time_zone="Asia/Jayapura")
    year = timezone.now().year + 1
    late = _sale(jakarta, "Late", datetime(year, 1, 29, 23, 30, tzinfo=WIB))
    _sale(jayapura, "East", datetime(year, 1, 10, 10, tzinfo=jayapura.zone))
    _sale(jakarta, "Over", datetime(year, 1, 30, 9, tzinfo=WIB), 72)
    page = alice.get(MONTH, {"month": f"{year}-01", "campaign": str(jakarta.pk)})
    assert _days(page) == {
        date(year, 1, 29): [("23:30", "Late", "30 Jan 01:30")], date(year, 1, 30): [("09:00", "Over", "2 Feb 09:00")],
    }  # fmt: skip
    text = page.content.decode()
    assert reverse("admin:flashsale_sale_change", args=[late.pk]) in text
    assert (page.context["zone"], "?month=" in text) == ("Asia/Jakarta (WIB)", True)
    add = next(day.add for week in page.context["weeks"] for day in week if day.day == date(year, 1, 20))
    form = form_values(alice.get(add))
    assert (form["campaign"], form["opens_at"], form["closes_at"]) == (
        [str(jakarta.pk)], [f"{year}-01-20T10:00:00"], [f"{year}-01-20T12:00:00"],
    )  # fmt: skip
    both = alice.get(MONTH, {"month": f"{year}-01"})
    # The next sale is in the east, where the late sale opens on the next day.
    assert both.context["zone"] == "Asia/Jayapura (WIT)"
    assert _days(both)[date(year, 1, 10)] == [("10:00", "East", "12:00")]
    there = next(day for week in both.context["weeks"] for day in week if day.day == date(year, 1, 30)).entries[0]
    assert (there.opens, there.elsewhere) == ("01:30", f"29 January {year} 23:30 WIB")
    assert "Add a sale on" not in dave.get(MONTH, {"month": f"{year}-01"}).content.decode()
    for month in ("nonsense", "2027-13", "0001-01", "9999-12", "2027-01-01-01"):
        found = alice.get(MONTH, {"month": month, "campaign": "x"})
        assert (found.status_code, found.context["month"]) == (200, f"{timezone.now().astimezone(WIB):%Y-%m}")


def test_sales_that_share_channels_accounts_or_capacity_are_marked(alice: Client, settings: Any) -> None:
    settings.FLASHSALE_PLAN_PEOPLE, settings.FLASHSALE_PLAN_HOURS = 250_000, hours("08:00-22:00")
    campaign, other = poco_campaign(), poco_campaign(payment_accounts="partner")
    ten = datetime(timezone.now().year + 1, 1, 29, 10, tzinfo=WIB)
    first = _sale(campaign, "First", ten)
    second = _sale(campaign, "Second", ten + timedelta(hours=1))
    _sale(campaign, "After", ten + timedelta(hours=3))
    foreign = _sale(other, "Foreign", ten + timedelta(hours=1), channels=("lazada", "akulaku"))
    night = _sale(other, "Night", ten + timedelta(hours=11), channels=("mi-store",))
    page = alice.get(MONTH, {"month": f"{ten:%Y-%m}"})
    marked = {entry.sale.name: entry.clashes for week in page.context["weeks"] for day in week for entry in day.entries}
    at_once = "At the same time as %s: the same channels (lazada)%s."
    accounts = " and payment accounts (demo)"
    crowd = "The lines that are open then take 400,000 people, and the servers take 250,000."
    assert marked == {
        "First": [at_once % ("Second", accounts), at_once % ("Foreign", "")],
        "Second": [at_once % ("First", accounts), at_once % ("Foreign", ""), crowd],
        "Foreign": [at_once % ("First", ""), at_once % ("Second", ""), crowd],
        "After": [], "Night": ["It opens or closes outside of the hours 08:00 to 22:00."],
    }  # fmt: skip
    assert f'id="clash-{second.pk}"' in page.content.decode()
    publish = alice.get(reverse("admin:flashsale_sale_publish") + f"?id={second.pk}").content.decode()
    assert at_once % ("First", accounts) in publish
    assert at_once % ("a sale of another campaign", "") in publish
    assert "Foreign" not in publish
    assert crowd in publish
    assert {first.pk, second.pk, foreign.pk, night.pk} < set(Sale.objects.values_list("pk", flat=True))
    Sale.objects.filter(pk__in=[second.pk, foreign.pk]).delete()
    assert "At the same time as" not in alice.get(MONTH, {"month": f"{ten:%Y-%m}"}).content.decode()
    assert (hours(""), hours("08:00-22:00")) == (None, (time(8), time(22)))
    for wrong in ("8-22", "22:00-08:00", "08:00"):
        with pytest.raises(ImproperlyConfigured):
            hours(wrong)


def _make(client: Client, **typed: Any) -> str:
    shown = form_values(client.get(CALENDAR))
    page = client.post(CALENDAR, {"do": "make", "_seen": shown["_seen"], **typed})
    assert "no-store" in page.headers["Cache-Control"]
    return str(page.context["url"]).replace("http://127.0.0.1:8000", "")


def _events(client: Client, url: str) -> list[dict[str, Any]]:
    answer = client.get(url, headers={"accept-language": "en"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    assert max(map(len, answer.content.split(b"\r\n"))) <= 75
    parsed = icalendar.Calendar.from_ical(answer.content)
    assert (parsed["VERSION"], parsed.errors) == ("2.0", [])
    return [
        {"title": str(event["SUMMARY"]), "from": event.decoded("DTSTART"), "status": str(event["STATUS"]),
         "to": event.decoded("DTEND") if "DTEND" in event else None, "uid": str(event["UID"]),
         "text": str(event.get("DESCRIPTION", ""))}
        for event in parsed.walk("VEVENT")
    ]  # fmt: skip


def test_a_calendar_reads_the_sales_by_a_link_that_can_be_revoked(
    alice: Client, dave: Client, client: Client, make_user: Callable[..., Client]
) -> None:
    campaign = poco_campaign(name="POCO; M3, \\ Indonesia – " + "ü" * 60)
    opens = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
    published = schedule.publish(sale=_sale(campaign, "29 January, 10:00; first\nwave", opens))
    draft = _sale(campaign, "Draft sale", opens + timedelta(days=1), stock={PHONE: 1})
    link, plain = _make(alice, drafts="on"), _make(dave, drafts="on")
    secret = link.removeprefix("/calendar/").removesuffix(".ics")
    row = CalendarLink.objects.get(user__username="alice")
    assert (row.drafts, secret in str(vars(row)), CalendarLink.objects.get(user__username="dave").drafts) == (
        True, False, False,
    )  # fmt: skip
    events = _events(client, link)
    name = "29 January, 10:00; first\nwave"
    assert [(event["title"], event["from"], event["to"], event["status"]) for event in events] == [
        (f"{name}: lobby", published.lobby_at, opens, "CONFIRMED"),
        (f"{name}: open", opens, opens + timedelta(hours=2), "CONFIRMED"),
        (f"{name}: closes", opens + timedelta(hours=2), None, "CONFIRMED"),
        ("Draft: Draft sale: lobby", draft.lobby_at.replace(microsecond=0), draft.opens_at, "TENTATIVE"),
        ("Draft: Draft sale: open", draft.opens_at, draft.closes_at, "TENTATIVE"),
        ("Draft: Draft sale: closes", draft.closes_at, None, "TENTATIVE"),
    ]
    assert len({event["uid"] for event in events}) == 6
    assert events[0]["text"].startswith(campaign.name)
    assert f"opens: {opens.astimezone(WIB):%Y-%m-%d %H:%M} WIB" in events[0]["text"]
    assert [event["title"] for event in _events(client, plain)] == [event["title"] for event in events[:3]]
    body = client.get(link).content.decode()
    assert [word for word in ("alice", "dave", secret, "phone", "@example") if word in body] == []
    rewrite(Sale.objects.filter(pk=published.pk), state=SaleState.CALLED_OFF)
    assert {event["status"] for event in _events(client, plain)} == {"CANCELLED"}
    shown = form_values(alice.get(CALENDAR))
    newer = _make(alice)
    # A second click of the page that has made the newer address: the address that is shown stays.
    refused = alice.post(CALENDAR, {**shown, "do": "make"}, follow=True)
    assert messages_on(refused) == ["Nothing was done, because your address is not as your page showed it. Look again."]
    assert refused.context["url"] == ""
    assert (client.get(link).status_code, len(_events(client, newer))) == (404, 3)
    assert "made on" in alice.get(CALENDAR).content.decode()
    assert alice.get(CALENDAR).context["url"] == ""
    User.objects.filter(username="dave").update(is_active=False)
    User.objects.get(username="alice").groups.clear()
    assert [client.get(url).status_code for url in (plain, newer)] == [404, 404]
    User.objects.get(username="alice").user_permissions.add(Permission.objects.get(codename="view_sale"))
    assert client.get(newer).status_code == 200
    records = Record.objects.count()
    for _again in range(2):
        assert alice.post(CALENDAR, {"do": "revoke"}).status_code == 302
    assert (client.get(newer).status_code, Record.objects.count()) == (404, records + 1)
    assert (client.get("/calendar/short.ics").status_code, client.post(newer).status_code) == (404, 405)
    assert client.get(CALENDAR).status_code == 302
    assert make_user("eve", "reviewer").get(CALENDAR).status_code == 200
    assert published.opens_at.astimezone(UTC) == opens
