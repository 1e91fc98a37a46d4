"""The month view: planned sales on the days of a campaign's zone, with their clashes."""

import calendar
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from flashsale.admin.labels import local_time, state_label
from flashsale.life.clashes import clashes, sales_between
from flashsale.life.staff_campaigns import limited_to, rows_of
from flashsale.models import Campaign, Sale
from flashsale.rules.states import SaleState

YEAR_FIRST, YEAR_LAST = 2000, 2099
# What the form of a new sale begins with.
USUAL_HOUR, USUAL_LENGTH = time(10), timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Entry:
    """A sale on the day of its opening."""

    sale: Sale
    url: str
    opens: str
    closes: str
    state: str
    is_draft: bool
    elsewhere: str
    when: str
    clashes: list[str]


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the table; `add` is the address of the form for a sale on it, or ""."""

    day: date
    title: str
    in_month: bool
    is_today: bool
    add: str
    entries: list[Entry] = field(default_factory=list)


def month_view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """The page. `month` is 2027-01, `campaign` an id; without one, all campaigns in the zone of the next sale."""
    if not request.user.has_perm("flashsale.view_sale"):
        raise PermissionDenied
    campaigns = list(rows_of(Campaign.objects.filter(sandbox_of=None), request.user).order_by("name", "pk"))
    chosen = next((one for one in campaigns if str(one.pk) == request.GET.get("campaign")), None)
    zone = (chosen or _usual(campaigns)).zone
    today = timezone.now().astimezone(zone).date()
    first = _month(request.GET.get("month", ""), today)
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    shown = {chosen.pk} if chosen else {campaign.pk for campaign in campaigns}
    entries = _entries(weeks[0][0], weeks[-1][-1], zone, shown, request.user)
    may_add = request.user.has_perm("flashsale.add_sale")
    days = [[_day(day, first, today, chosen, entries, may_add=may_add) for day in week] for week in weeks]
    context = {
        **site.each_context(request),
        "title": _("Plan of %(month)s") % {"month": date_format(first, "F Y")},
        "weeks": days,
        "days": [day for week in days for day in week if day.in_month and (day.entries or day.is_today)],
        "clashing": [entry for week in days for day in week for entry in day.entries if entry.clashes],
        "names": [date_format(day, "D") for day in weeks[0]],
        "campaigns": campaigns,
        "chosen": chosen,
        "zone": f"{zone.key} ({timezone.now().astimezone(zone).tzname()})",
        "month": f"{first:%Y-%m}",
        "earlier": _link(first - timedelta(days=1), chosen),
        "later": _link(first + timedelta(days=31), chosen),
        "add": _add_url(max(first, today), chosen) if may_add else "",
    }
    return TemplateResponse(request, "admin/flashsale/month.html", context)


def _usual(campaigns: list[Campaign]) -> Campaign:
    """The campaign of the sale that opens next; a new one, with the default zone, if there is none."""
    coming = Sale.objects.filter(opens_at__gt=timezone.now(), campaign__in=campaigns).select_related("campaign")
    sale = coming.order_by("opens_at").first()
    return sale.campaign if sale else (campaigns or [Campaign()])[-1]


def _month(text: str, today: date) -> date:
    """The first day of the month that the text names; of this month if it names none."""
    try:
        year, month = (int(part) for part in text.split("-"))
        found = date(year, month, 1)
    except ValueError:
        return today.replace(day=1)
    return found if YEAR_FIRST <= year <= YEAR_LAST else today.replace(day=1)


def _entries(first: date, last: date, zone: ZoneInfo, shown: Collection[int], user: Any) -> dict[date, list[Entry]]:
    """The entries of these campaigns by the day of their opening. Clashes with all campaigns of the user count."""
    limit = limited_to(user)
    sales = [sale for sale in sales_between(first, last, zone) if limit is None or sale.campaign_id in limit]
    found = clashes(sales)
    entries: dict[date, list[Entry]] = {}
    for sale in sales:
        if sale.campaign_id in shown:
            day = max(sale.opens_at.astimezone(zone).date(), first)
            entries.setdefault(day, []).append(_entry(sale, zone, day, found.get(sale.pk, [])))
    return entries


def _entry(sale: Sale, zone: ZoneInfo, day: date, texts: list[str]) -> Entry:
    opens, closes = sale.opens_at.astimezone(zone), sale.closes_at.astimezone(zone)
    own = sale.campaign.zone
    return Entry(
        sale=sale,
        url=reverse("admin:flashsale_sale_change", args=[sale.pk]),
        opens=f"{opens:%H:%M}" if opens.date() == day else date_format(opens, "j M H:i"),
        closes=f"{closes:%H:%M}" if closes.date() == opens.date() else date_format(closes, "j M H:i"),
        state=state_label(sale.state),
        is_draft=sale.state == SaleState.DRAFT,
        elsewhere=local_time(sale.opens_at, own) if opens.tzname() != sale.opens_at.astimezone(own).tzname() else "",
        when=local_time(sale.opens_at, zone),
        clashes=texts,
    )


def _day(
    day: date, first: date, today: date, chosen: Campaign | None, entries: dict[date, list[Entry]], *, may_add: bool
) -> Day:
    return Day(
        day=day,
        title=date_format(day, "l, j F"),
        in_month=day.month == first.month,
        is_today=day == today,
        add=_add_url(day, chosen) if may_add and day >= today else "",
        entries=entries.get(day, []),
    )


def _link(day: date, chosen: Campaign | None) -> str:
    return "?" + urlencode({"month": f"{day:%Y-%m}", **({"campaign": chosen.pk} if chosen else {})})


def _add_url(day: date, chosen: Campaign | None) -> str:
    """The form of a new sale on this day, at the usual hour."""
    opens = datetime.combine(day, USUAL_HOUR)
    times = {"opens_at": opens.isoformat(), "closes_at": (opens + USUAL_LENGTH).isoformat()}
    return (
        f"{reverse('admin:flashsale_sale_add')}?{urlencode({**times, **({'campaign': chosen.pk} if chosen else {})})}"
    )
