"""Copy: makes a new draft of a sale, or of a campaign with its sales, with all times moved to a new opening.

The clock times stay: a sale at 10:00 with a lobby from 10:00 on the day before keeps both when the clocks change in
between. A copy has nothing of people, except a list within the same campaign if that is wanted.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext as _

from flashsale.life.move_drafts import clock_of, moved
from flashsale.life.schedule import plan_campaign, plan_sale
from flashsale.models import Allocation, Campaign, Channel, ListEntry, Record, Sale
from flashsale.rules.identity import Axis
from flashsale.rules.states import AllocationMode
from flashsale.rules.trail import canonical_json, text_digest

CODE_MAX = 40
WEEK = timedelta(days=7)
# What a copy does not take over: it has an identity and times of its own, and the words and the brake of the day are
# not planned. Its rule set is the newest when it is published.
NOT_COPIED = {"campaign", "code", "name", "lobby_at", "opens_at", "closes_at", "rules", "message", "poll_ms"}


@dataclass(frozen=True, slots=True)
class PlannedCopy:
    """A sale that a copy will make. `fields` are the arguments of `plan_sale` without the campaign."""

    source: Sale
    fields: Mapping[str, Any]

    @property
    def lines(self) -> Sequence[Mapping[str, Any]]:
        """The planned lines."""
        lines: Sequence[Mapping[str, Any]] = self.fields["lines"]
        return lines


def free_code(model: type[Sale] | type[Campaign], code: str, taken: Sequence[str] = ()) -> str:
    """A code that is not used yet: the same with a number at its end, such as 29-jan-2, then 29-jan-3."""
    base = re.sub(r"-[2-9]\Z", "", code)
    used = {*model.objects.values_list("code", flat=True).filter(code__startswith=base[: CODE_MAX - 5]), *taken}
    number = 2
    while (proposed := f"{base[: CODE_MAX - 1 - len(str(number))]}-{number}") in used:
        number += 1
    return proposed


def next_opening(opens_at: datetime, zone: ZoneInfo, now: datetime) -> datetime:
    """The first moment after now at the same time of the same day of the week, a week later at the earliest."""
    later = moved(opens_at, zone, WEEK)
    weeks = max(0, (now - later) // WEEK)
    while later <= now:
        weeks += 1
        later = moved(opens_at, zone, WEEK * (weeks + 1))
    return later


def planned_sale(*, sale: Sale, by: timedelta, code: str, name: str) -> PlannedCopy:
    """What a copy of the sale has, with its times `by` later on the clocks of its campaign's zone."""
    zone = sale.campaign.zone
    lines = []
    for line in sale.allocations.prefetch_related("channels", "stock__offer").select_related("successor", "carries"):
        fields: dict[str, Any] = {"code": line.code, "name": line.name, "mode": AllocationMode(line.mode)}
        fields |= {"channels": [channel.code for channel in line.channels.all()], "carries": line.carries}
        fields |= {"stock": {stock.offer.sku: stock.quantity for stock in line.stock.all()}}
        if line.opens_at:
            fields["opens_at"] = moved(line.opens_at, zone, by)
        if line.listed_only:
            fields["listed"] = []
        if line.successor and line.rolls_over_at:
            fields |= {"successor": line.successor.code, "rolls_over_at": moved(line.rolls_over_at, zone, by)}
        lines.append(fields)
    return PlannedCopy(
        sale,
        {
            **_values(sale, NOT_COPIED), "code": code, "name": name, "lines": lines,
            **{at: moved(getattr(sale, at), zone, by) for at in ("lobby_at", "opens_at", "closes_at")},
            "offers": list(sale.offers.values("sku", "name", "price")),
        },
    )  # fmt: skip


def planned_sales(*, campaign: Campaign, opens_at: datetime) -> list[PlannedCopy]:
    """What a copy of the campaign has: its sales in their order, the first one with this opening."""
    sales = list(campaign.sales.select_related("campaign").order_by("opens_at", "pk"))
    if not sales:
        return []
    by = clock_of(opens_at, campaign.zone) - clock_of(sales[0].opens_at, campaign.zone)
    copies: list[PlannedCopy] = []
    for sale in sales:
        code = free_code(Sale, sale.code, [str(copy.fields["code"]) for copy in copies])
        copies.append(planned_sale(sale=sale, by=by, code=code, name=sale.name))
    return copies


def _values(row: models.Model, but: set[str]) -> dict[str, Any]:
    """The values that a form could change, without the names in `but`."""
    fields = row._meta.concrete_fields  # noqa: SLF001 - Django's documented way to the fields
    names = [field.name for field in fields if field.editable and not field.primary_key and field.name not in but]
    return {name: getattr(row, name) for name in names}


@transaction.atomic
def copy_sale(*, sale: Sale, opens_at: datetime, code: str, name: str, lists: bool = False, by: Any = None) -> Sale:
    """Makes a draft like the sale, with this opening, code and name. The same call again returns the same draft.

    With `lists`, the people on the lists of its lines are on those of the new ones. Raises ValidationError.
    """
    facts = {"from": f"sale:{sale.pk}", "opens_at": opens_at.isoformat(), "name": text_digest(name), "lists": lists}
    if known := _made_before(Sale, code, facts):
        return known
    if sale.campaign.erased_at:
        raise ValidationError(_("The people of this campaign are erased: begin a new campaign."))
    shift = clock_of(opens_at, sale.campaign.zone) - clock_of(sale.opens_at, sale.campaign.zone)
    planned = planned_sale(sale=sale, by=shift, code=code, name=name)
    copy = plan_sale(campaign=sale.campaign, by=by, **planned.fields)
    if lists:
        _copy_lists(sale, copy)
    Record.write("copy", by=by, sale=copy, facts=facts)
    return copy


def _copy_lists(sale: Sale, copy: Sale) -> None:
    lines = dict(copy.allocations.values_list("code", "pk"))
    entries = ListEntry.objects.filter(allocation__sale=sale, allocation__listed_only=True)
    ListEntry.objects.bulk_create(
        (
            ListEntry(allocation_id=lines[code], axis=axis, digest=digest, channel_id=channel)
            for code, axis, digest, channel in entries.values_list("allocation__code", "axis", "digest", "channel")
        ),
        batch_size=1000,
    )


@transaction.atomic
def copy_campaign(*, campaign: Campaign, opens_at: datetime, code: str, name: str, by: Any = None) -> Campaign:
    """Makes a campaign like this one, its first sale with this opening. The same call again returns the same campaign.

    It has a salt of its own, so it knows no person of the old one, and no keys and webhooks. Raises ValidationError.
    """
    facts = {"from": f"campaign:{campaign.pk}", "opens_at": opens_at.isoformat(), "name": text_digest(name)}
    if known := _made_before(Campaign, code, facts):
        return known
    planned = planned_sales(campaign=campaign, opens_at=opens_at)
    axes = {
        Axis(row.axis): f"{'hard' if row.hard else 'soft'} {row.checked_at}" for row in campaign.axes.order_by("pk")
    }
    channels = [_values(channel, {"campaign"}) for channel in Channel.objects.filter(campaign=campaign).order_by("pk")]
    fields = _values(campaign, {"code", "name"})
    copy = plan_campaign(code=code, name=name, axes=axes, channels=channels, by=by, **fields)
    for sale in planned:
        lines = [{name: value for name, value in line.items() if name != "carries"} for line in sale.lines]
        plan_sale(campaign=copy, by=by, **{**sale.fields, "lines": lines})
    _carry_over(copy, planned)
    Record.write("copy", by=by, campaign=copy, facts=facts)
    return copy


def _carry_over(copy: Campaign, planned: Sequence[PlannedCopy]) -> None:
    """Lets the new lines carry the orders of the new sales, as the old ones do of the old sales."""
    codes = {sale.source.pk: sale.fields["code"] for sale in planned}
    for sale in planned:
        for fields in sale.lines:
            if old := fields["carries"]:
                lines = Allocation.objects.filter(sale__campaign=copy)
                line = lines.get(sale__code=sale.fields["code"], code=fields["code"])
                line.carries = lines.get(sale__code=codes[old.sale_id], code=old.code)
                line.full_clean()
                line.save()


Row = TypeVar("Row", Sale, Campaign)


def _made_before(model: type[Row], code: str, facts: Mapping[str, Any]) -> Row | None:
    """What an equal call has made. A page that is sent twice makes one copy."""
    row = model.objects.filter(code=code).first()
    if row is None:
        return None
    name = f"{model._meta.model_name}:{row.pk}"  # noqa: SLF001 - Django's documented way to a name
    record = Record.objects.filter(what="copy", subject=name, facts=canonical_json(dict(facts))).first()
    return row if record else None
