"""Moves the times of drafts: on the clock of a zone, or to another zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction

from flashsale.models import Allocation, Campaign, Record, Sale
from flashsale.rules.states import SaleState

SALE_TIMES = ("lobby_at", "opens_at", "closes_at")
LINE_TIMES = ("opens_at", "rolls_over_at")


def clock_of(at: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of the zone show at this moment, without a zone."""
    return at.astimezone(zone).replace(tzinfo=None)


def at_clock(clock: datetime, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which the clocks of the zone show this.

    Where they go forward and skip it, it is the moment that they would show without that. Where they go back and show
    it twice, it is the first time.
    """
    return clock.replace(tzinfo=zone).astimezone(UTC)


def moved(at: datetime, zone: ZoneInfo, by: timedelta) -> datetime:
    """A moment that is `by` later on the clocks of the zone. So 10:00 stays 10:00 over a change of the clocks."""
    return at_clock(clock_of(at, zone) + by, zone)


def keep_order(*, campaign: Campaign, old: ZoneInfo, new: ZoneInfo) -> bool:
    """Whether all sales still open before they close if their clock times stay. Clocks that skip an hour change it."""
    times = campaign.sales.values_list(*SALE_TIMES)
    there = [[at_clock(clock_of(at, old), new) for at in row] for row in times]
    return all(lobby <= opens < closes for lobby, opens, closes in there)


@transaction.atomic
def keep_clock_times(*, campaign: Campaign, old: ZoneInfo, by: object) -> int:
    """Gives the drafts of a campaign the same clock times in its new zone. Returns how many there are.

    The campaign has its new zone already, and its row is locked. `keep_order` has said that the order stays.
    """
    drafts = list(campaign.sales.filter(state=SaleState.DRAFT).select_for_update().order_by("pk"))
    new, facts = campaign.zone, {}
    for sale in drafts:
        before = sale.opens_at
        _move(sale, SALE_TIMES, old, new)
        sale.campaign = campaign
        sale.full_clean()
        sale.save()
        for line in Allocation.objects.filter(sale=sale):
            _move(line, LINE_TIMES, old, new)
            line.save()
        facts[f"sale:{sale.pk}"] = [before.isoformat(), sale.opens_at.isoformat()]
    Record.write("zone", by=by, campaign=campaign, facts={"drafts": "clock times stay", "opens_at": facts})
    return len(drafts)


def _move(row: Sale | Allocation, fields: tuple[str, ...], old: ZoneInfo, new: ZoneInfo) -> None:
    for name in fields:
        at = getattr(row, name)
        if at is not None:
            setattr(row, name, at_clock(clock_of(at, old), new))
