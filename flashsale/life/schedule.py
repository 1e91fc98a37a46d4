"""Schedule: campaigns and sales are planned, then published once, with their draw committed."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.life.control import make_units
from flashsale.life.draw import BLOCK
from flashsale.life.rebuild import rebuild
from flashsale.models import Allocation, Campaign, CampaignAxis, Channel, Offer, Sale, Stock
from flashsale.models.sale import LOBBY, UNITS_MAX
from flashsale.models.writer import lock_sale
from flashsale.rules import lottery
from flashsale.rules.identity import Axis
from flashsale.rules.states import SaleState

SECRET_BYTES = 32


@transaction.atomic
def plan_campaign(
    *, code: str, name: str, axes: Mapping[Axis, str], channels: Sequence[Mapping[str, str]], **fields: Any
) -> Campaign:
    """A campaign with channels and axes ("hard enter", "hard confirm" or "soft"). Raises ValidationError in words."""
    campaign = Campaign(code=code, name=name, **fields)
    campaign.full_clean()
    campaign.save()
    for axis, kind in axes.items():
        hard, _, at = kind.partition(" ")
        row = CampaignAxis(campaign=campaign, axis=axis, hard=hard == "hard", checked_at=at or "confirm")
        row.full_clean()
        row.save()
    for channel in channels:
        row_channel = Channel(campaign=campaign, **channel)
        row_channel.full_clean()
        row_channel.save()
    return campaign


@transaction.atomic
def plan_sale(
    *,
    campaign: Campaign,
    code: str,
    name: str,
    opens_at: datetime,
    closes_at: datetime,
    offers: Sequence[Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
    **fields: Any,
) -> Sale:
    """A draft sale; lines are {"code", "channels": [codes], "stock": {SKU: units}}. Raises ValidationError in words."""
    fields.setdefault("lobby_at", opens_at - LOBBY)
    sale = Sale(campaign=campaign, code=code, name=name, opens_at=opens_at, closes_at=closes_at, **fields)
    sale.full_clean()
    sale.save()
    by_sku = {}
    for wanted in offers:
        offer = Offer(sale=sale, **wanted)
        offer.full_clean()
        offer.save()
        by_sku[offer.sku] = offer
    for wanted in lines:
        line = Allocation.objects.create(sale=sale, code=wanted["code"], name=wanted.get("name", ""))
        line.channels.set(Channel.objects.filter(campaign=campaign, code__in=wanted["channels"]))
        Stock.objects.bulk_create(
            Stock(allocation=line, offer=by_sku[sku], quantity=quantity) for sku, quantity in wanted["stock"].items()
        )
    return sale


def problems_of(*, sale: Sale, now: datetime) -> list[str]:
    """Why a draft cannot be published, in words; empty when it can."""
    lines = list(sale.allocations.prefetch_related("channels", "stock"))
    problems = []
    if sale.opens_at <= now:
        problems.append(_("The opening lies in the past."))
    if not sale.offers.exists():
        problems.append(_("The sale offers nothing yet."))
    if not lines:
        problems.append(_("The sale has no line yet: add an allocation."))
    problems += [_("The line %(line)s has no channel.") % {"line": x.code} for x in lines if not x.channels.all()]
    problems += [_("The line %(line)s sells nothing.") % {"line": x.code} for x in lines if not x.stock.all()]
    served = [channel.pk for line in lines for channel in line.channels.all()]
    if len(served) != len(set(served)):
        problems.append(_("A channel leads to two lines; it must lead to one."))
    if sum(stock.quantity for line in lines for stock in line.stock.all()) > UNITS_MAX:
        problems.append(_("More than %(most)d units.") % {"most": UNITS_MAX})
    if not sale.campaign.axes.filter(hard=True, checked_at="enter").exists():
        problems.append(_("The campaign needs a hard axis that is checked when entering."))
    return problems


def publish(*, sale: Sale) -> Sale:
    """Publishes a draft: its units come into being, its draw is committed, the gate is told. Safe to repeat.

    Raises ValidationError in words when the draft is not ready, GateDown when the gate could not be told: the sale is
    published then, and the doors tell the gate as soon as it answers.
    """
    with transaction.atomic():
        lock_sale(sale.pk, exclusive=True)
        sale.refresh_from_db()
        if sale.state == SaleState.DRAFT:
            _publish(sale, timezone.now())
    if sale.epoch == 0:
        rebuild(sale=sale.pk)
        sale.refresh_from_db()
    return sale


def _publish(sale: Sale, now: datetime) -> None:
    problems = problems_of(sale=sale, now=now)
    if problems:
        raise ValidationError(problems)
    sale.full_clean()
    sale.secret = os.urandom(SECRET_BYTES)
    sale.commitment = lottery.commitment(sale.secret).hex()
    sale.state, sale.published_at = SaleState.PUBLISHED, now
    sale.save()
    Campaign.objects.filter(pk=sale.campaign_id, frozen_at=None).update(frozen_at=now)
    sale.allocations.update(block=min(BLOCK, sale.max_entries))
    for stock in Stock.objects.filter(allocation__sale=sale).select_related("allocation__sale", "offer"):
        make_units(stock, first=1, last=stock.quantity)
