"""Schedule: campaigns and sales are planned, then published once, with their draw committed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.books.reservations import lock_sale
from flashsale.life.enter import digester
from flashsale.life.index_blocks import BLOCK_MIN
from flashsale.life.rebuild import rebuild
from flashsale.life.sale_card import card_of
from flashsale.life.sale_control import make_units
from flashsale.life.status import BYTES_MAX, bytes_at_most
from flashsale.models import (
    Allocation,
    Campaign,
    CampaignAxis,
    Channel,
    ListEntry,
    Offer,
    PublishedRuleSet,
    Record,
    Sale,
    Stock,
)
from flashsale.models.sale import LOBBY, MESSAGE_BYTES_MAX, UNITS_MAX, ms
from flashsale.rules import lottery
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.states import AllocationMode, Phase, SaleState

SECRET_BYTES = 32


@transaction.atomic
def plan_campaign(
    *,
    code: str,
    name: str,
    axes: Mapping[Axis, str],
    channels: Sequence[Mapping[str, str]],
    by: Any = None,
    **fields: Any,
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
    Record.write("plan", by=by, campaign=campaign)
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
    by: Any = None,
    **fields: Any,
) -> Sale:
    """A draft sale. Raises ValidationError in words.

    Lines are {"code", "channels": [codes], "stock": {SKU: units}} and, for tranches, any of "name", "mode", "opens_at",
    "listed" ([(axis, raw value)]), "successor" (code of a line that stands later in the list's order or earlier),
    "rolls_over_at", "carries" (an allocation of an earlier sale).
    """
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
    planned = {wanted["code"]: _plan_line(sale, wanted, by_sku) for wanted in lines}
    for wanted in lines:
        if "successor" in wanted:
            line = planned[wanted["code"]]
            line.successor, line.rolls_over_at = planned[wanted["successor"]], wanted["rolls_over_at"]
            line.full_clean()
            line.save()
    Record.write("plan", by=by, sale=sale)
    return sale


def _plan_line(sale: Sale, wanted: Mapping[str, Any], offers: Mapping[str, Offer]) -> Allocation:
    fields = {name: wanted[name] for name in ("code", "name", "mode", "opens_at", "carries") if name in wanted}
    line = Allocation(sale=sale, listed_only="listed" in wanted, **fields)
    line.full_clean(exclude=["line_id"])
    line.save()
    line.channels.set(Channel.objects.filter(campaign=sale.campaign, code__in=wanted["channels"]))
    Stock.objects.bulk_create(
        Stock(allocation=line, offer=offers[sku], quantity=quantity) for sku, quantity in wanted["stock"].items()
    )
    if "listed" in wanted:
        put_on_list(line=line, people=wanted["listed"])
    return line


@transaction.atomic
def put_on_list(*, line: Allocation, people: Iterable[tuple[Axis, str]], by: Any = None) -> int:
    """Puts people on an allocation's list by one raw value each, which is digested and forgotten; how many are new.

    Raises ValidationError in words for a value that cannot be read, for accounts where the line has several channels,
    and once the sale is published.
    """
    if line.sale.state != SaleState.DRAFT:
        raise ValidationError(_("The sale is published: its lists can no longer change."))
    if line.sale.campaign.erased_at:
        raise ValidationError(_("The people of this campaign are erased: begin a new campaign."))
    digests = digester(bytes(line.sale.campaign.salt).hex())
    people, channels = list(people), list(line.channels.values_list("pk", flat=True))
    channel = channels[0] if len(channels) == 1 else 0
    if not channel and any(axis is Axis.ACCOUNT for axis, _raw in people):
        raise ValidationError(
            _("An account is known to one partner: a list of accounts needs a line with one channel.")
        )
    before = line.list_entries.count()
    try:
        rows = [
            ListEntry(
                allocation=line,
                axis=axis,
                digest=digests.digest(axis, raw, channel=channel).hex(),
                channel_id=channel if axis is Axis.ACCOUNT else None,
            )
            for axis, raw in people
        ]
    except BadValue as error:
        raise ValidationError(_("A value of %(axis)s cannot be read.") % {"axis": error.axis.value}) from error
    ListEntry.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
    fresh = line.list_entries.count() - before
    if fresh:
        Record.write("list", by=by, sale=line.sale, facts={"line": line.code, "people": fresh})
    return fresh


def problems_of(*, sale: Sale, now: datetime) -> list[str]:
    """Why a draft cannot be published, in words; empty when it can."""
    lines = list(sale.allocations.prefetch_related("channels", "stock"))
    problems = []
    if sale.opens_at <= now:
        problems.append(_("The opening lies in the past."))
    if sale.campaign.erased_at:
        problems.append(_("The people of this campaign are erased: begin a new campaign."))
    if not sale.offers.exists():
        problems.append(_("The sale offers nothing yet."))
    if not lines:
        problems.append(_("The sale has no line yet: add an allocation."))
    problems += [_("The line %(line)s has no channel.") % {"line": x.code} for x in lines if not x.channels.all()]
    problems += [_("The line %(line)s sells nothing.") % {"line": x.code} for x in lines if not x.stock.all()]
    # Whoever is on a list or holds an old place knows which line is theirs; everybody else must find one.
    served = [channel.pk for x in lines if not (x.listed_only or x.carries_id) for channel in x.channels.all()]
    if len(served) != len(set(served)):
        problems.append(_("A channel leads to two lines that are open to everybody; it must lead to one."))
    if sum(stock.quantity for line in lines for stock in line.stock.all()) > UNITS_MAX:
        problems.append(_("More than %(most)d units.") % {"most": UNITS_MAX})
    problems += [words for line in lines for words in (*_tranche_problems(line), *_carry_problems(line, now))]
    problems += _status_problems(sale)
    if not sale.campaign.axes.filter(hard=True, checked_at="enter").exists():
        problems.append(_("The campaign needs a hard axis that is checked when entering."))
    return problems


def _status_problems(sale: Sale) -> list[str]:
    card = replace(card_of(sale), message="-" * MESSAGE_BYTES_MAX)
    longest = {line.code: bytes_at_most(card, line) for line in card.lines}
    words = _(
        "The public status of the line %(line)s could take %(found)d bytes, %(most)d at most: offer less in it, "
        "or give the sale, the line or the SKUs shorter codes."
    )
    return [
        words % {"line": line, "found": found, "most": BYTES_MAX}
        for line, found in longest.items()
        if found > BYTES_MAX
    ]


def _tranche_problems(line: Allocation) -> list[str]:
    named = {"line": line.code}
    problems = []
    try:
        # The sale's own times may have been changed since the line was planned.
        line.clean()
    except ValidationError as error:
        problems += [f"{line.code}: {words}" for words in error.messages]
    if line.mode == AllocationMode.DIRECT and line.channels.exclude(kind=Channel.Kind.PARTNER).exists():
        problems.append(_("The line %(line)s is direct; only a partner has a door of its own.") % named)
    proven = line.sale.campaign.axes.filter(hard=True, checked_at="enter").values("axis")
    if line.listed_only and not line.list_entries.filter(axis__in=proven).exists():
        problems.append(_("The list of the line %(line)s is empty: nobody could enter.") % named)
    strangers = line.list_entries.exclude(channel=None).exclude(channel__in=line.channels.all())
    for code in strangers.values_list("channel__code", flat=True).distinct():
        words = _("The list of the line %(line)s has accounts of %(channel)s, which does not lead to it.")
        problems.append(words % {"channel": code, **named})
    if line.successor:
        opens_at = max(line.sale.opens_at, line.opens_at or line.sale.opens_at)
        if line.rolls_over_at and line.rolls_over_at <= opens_at:
            problems.append(_("The line %(line)s rolls over before it opens: nobody could be called.") % named)
        further = line.successor.rolls_over_at
        if _comes_back(line):
            words = _("The line %(line)s rolls over in a circle: what it hands on would come back to it.")
            problems.append(words % named)
        elif further and line.rolls_over_at and further <= line.rolls_over_at:
            words = _("The line %(line)s rolls over to one that has rolled over by then: nobody there could be called.")
            problems.append(words % named)
        sold = set(line.successor.stock.values_list("offer__sku", flat=True))
        missing = sorted(set(line.stock.values_list("offer__sku", flat=True)) - sold)
        if missing:
            skus = {"skus": ", ".join(missing), **named}
            problems.append(_("The successor of the line %(line)s does not sell %(skus)s.") % skus)
    return problems


def _comes_back(line: Allocation) -> bool:
    """Whether units that the line hands on would be handed on to it again, without end."""
    passed: set[int] = set()
    at = line.successor
    while at and at.pk != line.pk and at.pk not in passed:
        passed.add(at.pk)
        at = at.successor
    return at is not None and at.pk == line.pk


def _carry_problems(line: Allocation, now: datetime) -> list[str]:
    old, named = line.carries, {"line": line.code}
    if old is None:
        return []
    # Whoever entered the old line after this publication would hold a number that this line does not know.
    if old.sale.phase(ms(now)) not in {Phase.CLOSED, Phase.CALLED_OFF}:
        return [_("The line %(line)s carries over the order of a sale that is not over yet.") % named]
    if old.cohort is None:
        return [_("The line %(line)s carries an order over that is not drawn yet.") % named]
    if old.block > line.sale.max_entries:
        words = _("The line %(line)s carries numbers up to %(last)d over: the sale must allow as many entries.")
        return [words % {**named, "last": old.block}]
    return []


def publish(*, sale: Sale, by: Any = None) -> Sale:
    """Publishes a draft: its units come into being, its draw is committed, the gate is told. Safe to repeat.

    `by` is who decides, for the audit trail.
    Raises ValidationError in words when the draft is not ready, GateDown when the gate could not be told: the sale is
    published then, and the doors tell the gate as soon as it answers.
    """
    with transaction.atomic():
        lock_sale(sale.pk, exclusive=True)
        sale.refresh_from_db()
        if sale.state == SaleState.DRAFT:
            _publish(sale, timezone.now())
            Record.write("publish", by=by, sale=sale, facts=_promised(sale))
    if sale.epoch == 0:
        rebuild(sale=sale.pk)
        sale.refresh_from_db()
    return sale


def _publish(sale: Sale, now: datetime) -> None:
    # An erasure takes this lock too: either it sees the sale, or the sale sees that it is done.
    sale.campaign = Campaign.objects.select_for_update(no_key=True).get(pk=sale.campaign_id)
    problems = problems_of(sale=sale, now=now)
    if problems:
        raise ValidationError(problems)
    sale.full_clean()
    sale.secret = os.urandom(SECRET_BYTES)
    sale.commitment = lottery.commitment(sale.secret).hex()
    sale.state, sale.published_at = SaleState.PUBLISHED, now
    sale.rules = sale.rules or PublishedRuleSet.newest()
    sale.save()
    Campaign.objects.filter(pk=sale.campaign_id, frozen_at=None).update(frozen_at=now)
    for line in sale.allocations.select_related("carries"):
        line.block = line.carries.block if line.carries else min(BLOCK_MIN, sale.max_entries)
        line.save(update_fields=["block"])
    for stock in Stock.objects.filter(allocation__sale=sale).select_related("allocation__sale", "offer"):
        make_units(stock, first=1, last=stock.quantity)


def _promised(sale: Sale) -> dict[str, Any]:
    """What shoppers and partners rely on from now on, as the audit trail keeps it."""
    units: dict[str, dict[str, int]] = {}
    for stock in Stock.objects.filter(allocation__sale=sale).select_related("allocation", "offer"):
        units.setdefault(stock.allocation.code, {})[stock.offer.sku] = stock.quantity
    return {
        "commitment": sale.commitment, "rules": sale.rules.hash if sale.rules else "",
        "opens_at": sale.opens_at.isoformat(), "closes_at": sale.closes_at.isoformat(),
        "limit": [sale.campaign.limit, sale.limit or sale.campaign.limit], "claim_s": sale.claim_s,
        "hold_s": sale.hold_s, "prices": dict(sale.offers.values_list("sku", "price")), "units": units,
    }  # fmt: skip
