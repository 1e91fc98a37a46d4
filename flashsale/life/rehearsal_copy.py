"""The copy of a sale for a rehearsal: a test campaign with the same lines, limits, windows and rates."""

import math
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.life.schedule import plan_campaign, plan_sale, problems_of
from flashsale.models import Allocation, Campaign, Channel, Rehearsal, Sale
from flashsale.providers import payments
from flashsale.providers.payments import PartnerProvider
from flashsale.rules.identity import Axis
from flashsale.rules.rehearsals import EARLY, PREFIX, Terms, identity
from flashsale.rules.states import AllocationMode

# From the copy to the opening, besides the time in which the early people enter.
LEAD_S = 6
# Units that are published in a second on a slow machine.
UNITS_PER_S = 2000
# People are spread over the lines in rounds of so many.
ROUND = 60
COPIED = (
    "limit", "claim_s", "hold_s", "overbooking", "rate_per_s", "claims_max", "extra_time_max", "extra_time_share",
    "max_entries", "poll_ms", "rules", "draw_version", "beacon", "freeze_s",
)  # fmt: skip


def plan_problems(sale: Sale) -> list[str]:
    """The reasons why the plan of a sale cannot be copied, as texts. Empty when it can."""
    row = Rehearsal(pk=0, sale=sale, name=sale.name, terms=Terms(ROUND, 0, ROUND, 1, 0)._asdict())
    try:
        with transaction.atomic():
            copy = copy_sale(row)
            problems = problems_of(sale=copy, now=timezone.now())
            if not problems and not crowd_lines(copy):
                problems = [_("No line of this sale sells units to people who enter it.")]
            transaction.set_rollback(True)
    except ValidationError as error:
        return list(error.messages)
    return problems


def copy_sale(row: Rehearsal) -> Sale:
    """The draft of the copy, in a campaign of its own. Must run in a transaction. Raises ValidationError."""
    assert row.sale is not None, "a rehearsal begins with its sale"
    live, terms = row.sale, Terms(**row.terms)
    by = f"rehearsal:{row.pk}"
    campaign = _copy_campaign(live, by)
    now = timezone.now()
    opens_at = now + timedelta(seconds=_lead_s(live, terms))
    moved = opens_at - live.opens_at
    return plan_sale(
        campaign=campaign,
        code=f"{PREFIX}{secrets.token_hex(10)}",
        name=campaign.name,
        lobby_at=now - timedelta(seconds=1),
        opens_at=opens_at,
        closes_at=live.closes_at + moved,
        offers=list(live.offers.values("sku", "name", "price")),
        lines=list(_copied_lines(live, moved, terms)),
        by=by,
        **{name: getattr(live, name) for name in COPIED},
    )


def _lead_s(live: Sale, terms: Terms) -> int:
    units = sum(map(_units, _lines(live)))
    return LEAD_S + live.freeze_lead_s + math.ceil(EARLY * terms.people / terms.speed) + units // UNITS_PER_S


def _copy_campaign(sale: Sale, by: str) -> Campaign:
    """The campaign of the copy: a sandbox of its own first channel."""
    live = sale.campaign
    copied = ("time_zone", "currency", "limit", "appeal_s", "undo_s")
    axes = {Axis(row.axis): f"hard {row.checked_at}" if row.hard else "soft" for row in live.axes.order_by("pk")}
    channels = Channel.objects.filter(allocations__sale=sale).distinct().order_by("pk")
    # The test account pays. Where this server has no account with methods, the word of the partner pays.
    accounts = "" if payments.methods_of(names="", test=True) else PartnerProvider.account
    campaign = plan_campaign(
        code=f"{PREFIX}{secrets.token_hex(10)}",
        name=(_("Rehearsal: %(sale)s") % {"sale": sale.name})[:120],
        axes=axes,
        channels=[
            {
                "code": channel.code, "name": channel.name, "kind": Channel.Kind.PARTNER,
                "entries_max": channel.entries_max, "order_letters": False, "payment_accounts": accounts,
                "quotas": channel.quotas,
            }
            for channel in channels
        ],
        by=by,
        **{name: getattr(live, name) for name in copied},
    )  # fmt: skip
    campaign.sandbox_of = campaign.channels.order_by("pk").first()
    models.QuerySet(Campaign).filter(pk=campaign.pk).update(sandbox_of=campaign.sandbox_of)
    return campaign


def _copied_lines(live: Sale, moved: timedelta, terms: Terms) -> Iterator[dict[str, Any]]:
    """The lines as `plan_sale` wants them. The people of a list, or of an earlier line, are people of the crowd."""
    places = [(slot["line"], number) for number, slot in enumerate(crowd_lines(live))]
    for line in _lines(live):
        plan: dict[str, Any] = {
            "code": line.code, "name": line.name, "mode": line.mode, "opens_at": _later(line.opens_at, moved),
            "channels": [channel.code for channel in line.channels.all()],
            "stock": {stock.offer.sku: stock.quantity for stock in line.stock.all()},
        }  # fmt: skip
        if line.listed_only or line.carries_id:
            numbers = [number for code, number in places if code == line.code]
            people = (first + number for first in range(0, terms.people, len(places) or 1) for number in numbers)
            axis = Axis(live.campaign.axes.filter(hard=True, checked_at="enter").order_by("pk")[0].axis)
            # At least one, because a list without people cannot be published.
            listed = [person for person in people if person < terms.people] or [0]
            plan["listed"] = [(axis, identity(person)[axis]) for person in listed]
        if line.successor:
            plan |= {"successor": line.successor.code, "rolls_over_at": _later(line.rolls_over_at, moved)}
        yield plan


def _later(at: datetime | None, moved: timedelta) -> datetime | None:
    return at + moved if at else None


def _lines(sale: Sale) -> list[Allocation]:
    rows = sale.allocations.select_related("successor").prefetch_related("channels", "stock__offer")
    return list(rows.order_by("line_id"))


def crowd_lines(sale: Sale) -> list[dict[str, Any]]:
    """Where the people of a crowd go, in rounds: person n takes the slot n modulo the count of slots.

    A slot has the codes of line and channel, and the SKUs with their units. A line has slots by its units, and at least
    one. A direct line has no slot, because its partner sells without a crowd. A line without units has none.
    """
    lines = [line for line in _lines(sale) if line.mode == AllocationMode.LINE and _units(line)]
    total = sum(map(_units, lines))
    slots: list[dict[str, Any]] = []
    for line in lines:
        channels = sorted(line.channels.all(), key=lambda channel: channel.pk)
        skus = {stock.offer.sku: stock.quantity for stock in line.stock.all() if stock.quantity}
        count = max(len(channels), round(ROUND * _units(line) / total)) if channels else 0
        slots += [
            {"line": line.code, "channel": channels[number % len(channels)].code, "skus": skus}
            for number in range(count)
        ]
    # Mixed, so that a small crowd comes to each line, too.
    return [slots[number] for number in sorted(range(len(slots)), key=lambda number: number * 37 % 61)]


def _units(line: Allocation) -> int:
    return sum(stock.quantity for stock in line.stock.all())
