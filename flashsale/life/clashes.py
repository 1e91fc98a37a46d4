"""Clashes: planned sales that are open at the same time and share something, and sales at hours that are not wanted.

A clash does not prevent a publication. People should know it before they publish.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext as _

from flashsale.life.move_drafts import at_clock
from flashsale.models import Sale
from flashsale.providers import payments
from flashsale.providers.payments.partner import PartnerProvider
from flashsale.rules.states import AllocationMode, SaleState

SALES_MAX = 500
SHOWN = (SaleState.DRAFT, SaleState.PUBLISHED, SaleState.PAUSED)


def sales_between(first: date, last: date, zone: ZoneInfo) -> list[Sale]:
    """The sales that open or are open on these days of the zone, called-off and test sales left out."""
    begin, end = (at_clock(datetime.combine(day, time()), zone) for day in (first, last + timedelta(days=1)))
    found = Sale.objects.filter(
        Q(closes_at__gt=begin) | Q(opens_at__gte=begin), opens_at__lt=end, campaign__sandbox_of=None, state__in=SHOWN
    )
    return list(
        found.select_related("campaign")
        .prefetch_related("allocations__channels")
        .order_by("opens_at", "pk")[:SALES_MAX]
    )


def clashes(sales: Sequence[Sale]) -> dict[int, list[str]]:
    """By the sale's id: what clashes, as texts for people. `sales` are in the order of their openings."""
    found: dict[int, list[str]] = defaultdict(list)
    channels = {sale.pk: _channels(sale) for sale in sales}
    accounts = {sale.pk: _accounts(sale) for sale in sales}
    for place, first in enumerate(sales):
        if text := _hours(first):
            found[first.pk].append(text)
        for second in sales[place + 1 :]:
            if second.opens_at >= first.closes_at:
                break
            for one, other in ((first, second), (second, first)):
                found[one.pk] += _shared(
                    other, channels[one.pk] & channels[other.pk], accounts[one.pk] & accounts[other.pk]
                )
    for sale in sales:
        if text := _crowd(sale, sales):
            found[sale.pk].append(text)
    return dict(found)


def clashes_of(sale: Sale) -> list[str]:
    """What clashes with this sale, as texts for people who may know only its campaign: others are not named."""
    zone = sale.campaign.zone
    sales = sales_between(sale.opens_at.astimezone(zone).date(), sale.closes_at.astimezone(zone).date(), zone)
    for other in sales:
        if other.campaign_id != sale.campaign_id:
            other.name = _("a sale of another campaign")
    return clashes(sales).get(sale.pk, [])


def _shared(other: Sale, channels: set[str], accounts: set[str]) -> list[str]:
    found = {"sale": other.name, "channels": ", ".join(sorted(channels)), "accounts": ", ".join(sorted(accounts))}
    if channels and accounts:
        text = _("At the same time as %(sale)s: the same channels (%(channels)s) and payment accounts (%(accounts)s).")
    elif channels:
        text = _("At the same time as %(sale)s: the same channels (%(channels)s).")
    else:
        text = _("At the same time as %(sale)s: the same payment accounts (%(accounts)s).")
    return [text % found] if channels or accounts else []


def _channels(sale: Sale) -> set[str]:
    """The codes of its channels. A partner has the same code in each campaign."""
    return {channel.code for line in sale.allocations.all() for channel in line.channels.all()}


def _accounts(sale: Sale) -> set[str]:
    """The accounts at payment providers that take its money, without a partner that charges its own buyers."""
    named = {
        channel.payment_accounts or sale.campaign.payment_accounts
        for line in sale.allocations.all()
        for channel in line.channels.all()
    }
    return {account for names in named for account in payments.accounts_in(names)} - {PartnerProvider.account}


def people_of(sale: Sale) -> int:
    """How many people its lines may take."""
    lines = [line for line in sale.allocations.all() if line.mode == AllocationMode.LINE]
    return int(sale.max_entries) * len(lines)


def _crowd(sale: Sale, sales: Sequence[Sale]) -> str:
    """More people than the servers take, at the opening of the sale; "" if there is room."""
    most = settings.FLASHSALE_PLAN_PEOPLE
    at_once = sum(people_of(other) for other in sales if other.opens_at <= sale.opens_at < other.closes_at)
    if not most or at_once <= most:
        return ""
    text = _("The lines that are open then take %(found)s people, and the servers take %(most)s.")
    return text % {"found": f"{at_once:,}", "most": f"{most:,}"}


def _hours(sale: Sale) -> str:
    """Opening or closing at hours that are not wanted; "" if both are fine."""
    hours = settings.FLASHSALE_PLAN_HOURS
    if hours is None:
        return ""
    first, last = hours
    there = [at.astimezone(sale.campaign.zone).time() for at in (sale.opens_at, sale.closes_at)]
    if all(first <= at <= last for at in there):
        return ""
    text = _("It opens or closes outside of the hours %(first)s to %(last)s.")
    return text % {"first": f"{first:%H:%M}", "last": f"{last:%H:%M}"}
