"""Schedule: plans campaigns and sales as drafts, and publishes a sale, with the commitment to its draw."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.books.events import NewEvent, record
from flashsale.books.reservations import lock_campaign, lock_sale
from flashsale.life import two_people
from flashsale.life.enter import digester
from flashsale.life.index_blocks import BLOCK_MIN
from flashsale.life.rebuild import rebuild
from flashsale.life.refund_window import methods_with_short_windows
from flashsale.life.sale_card import card_of
from flashsale.life.sale_control import create_units, times_of
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
from flashsale.models.sale import ENTRIES_MAX, MESSAGE_BYTES_MAX, UNITS_MAX, ms
from flashsale.providers import beacon, payments
from flashsale.rules.events import EventType
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.states import AllocationMode, Phase, SaleState

SECRET_BYTES = 32
# Two entries for each of the most people that a line may have.
LIST_MAX = 2 * ENTRIES_MAX


@transaction.atomic
def plan_campaign(
    *,
    code: str,
    name: str,
    axes: Mapping[Axis, str],
    channels: Sequence[Mapping[str, Any]],
    by: Any = None,
    **fields: Any,
) -> Campaign:
    """Creates a campaign with its channels and axes.

    `axes` says of each axis whether it is "hard enter", "hard confirm" or "soft". Each channel is the fields of a
    Channel. Raises ValidationError.
    """
    campaign = Campaign(code=code, name=name, **fields)
    campaign.full_clean()
    campaign.save()
    for axis, kind in axes.items():
        hardness, _, checked_at = kind.partition(" ")
        row = CampaignAxis(campaign=campaign, axis=axis, hard=hardness == "hard", checked_at=checked_at or "confirm")
        row.full_clean()
        row.save()
    for channel_fields in channels:
        channel = Channel(campaign=campaign, **channel_fields)
        channel.full_clean()
        channel.save()
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
    """Creates a draft sale with its offers and lines. Raises ValidationError.

    A line is {"code", "channels": [codes], "stock": {SKU: units}}. A tranche may also have "name", "mode", "opens_at",
    "listed" ([(axis, raw value)]), "successor" (the code of another line in `lines`), "rolls_over_at", and "carries"
    (an allocation of an earlier sale).
    """
    sale = Sale(campaign=campaign, code=code, name=name, opens_at=opens_at, closes_at=closes_at, **fields)
    sale.full_clean()
    sale.save()
    by_sku = {}
    for offer_fields in offers:
        offer = Offer(sale=sale, **offer_fields)
        offer.full_clean()
        offer.save()
        by_sku[offer.sku] = offer
    by_code = {plan["code"]: _plan_line(sale, plan, by_sku) for plan in lines}
    for plan in lines:
        if "successor" in plan:
            line = by_code[plan["code"]]
            line.successor, line.rolls_over_at = by_code[plan["successor"]], plan["rolls_over_at"]
            line.full_clean()
            line.save()
    Record.write("plan", by=by, sale=sale)
    return sale


def _plan_line(sale: Sale, plan: Mapping[str, Any], offers: Mapping[str, Offer]) -> Allocation:
    fields = {name: plan[name] for name in ("code", "name", "mode", "opens_at", "carries") if name in plan}
    line = Allocation(sale=sale, listed_only="listed" in plan, **fields)
    line.full_clean(exclude=["line_id"])
    line.save()
    line.channels.set(Channel.objects.filter(campaign=sale.campaign, code__in=plan["channels"]))
    Stock.objects.bulk_create(
        Stock(allocation=line, offer=offers[sku], quantity=quantity) for sku, quantity in plan["stock"].items()
    )
    if "listed" in plan:
        put_on_list(line=line, people=plan["listed"])
    return line


@transaction.atomic
def put_on_list(*, line: Allocation, people: Iterable[tuple[Axis, str]], by: Any = None) -> int:
    """Puts people on the list of an allocation, by one (axis, raw value) each. Returns how many are new.

    The list keeps a digest of each value and not the value. Safe to repeat.
    Raises BadEntry for a value that cannot be read, ValidationError for an account in a line with several channels, for
    more people than may enter, and once the sale is published.
    """
    # A publication takes this lock, too. So it finds the whole list, or this finds the sale published.
    lock_sale(line.sale_id, exclusive=True)
    line.sale.refresh_from_db(fields=["state"])
    if line.sale.state != SaleState.DRAFT:
        raise ValidationError(_("The sale is published: its lists can no longer change."))
    if line.sale.campaign.erased_at:
        raise ValidationError(_("The people of this campaign are erased: begin a new campaign."))
    campaign = line.sale.campaign
    digests = digester(bytes(campaign.salt).hex(), campaign.canon_version)
    people = list(people)
    channel = list_channel(line=line, axes={axis for axis, _raw in people})
    count_before = line.list_entries.count()
    rows = []
    for number, (axis, raw) in enumerate(people, start=1):
        try:
            digest = digests.digest(axis, raw, channel=channel).hex()
        except BadValue as error:
            raise BadEntry(number, axis) from error
        owner = channel if axis is Axis.ACCOUNT else None
        rows.append(ListEntry(allocation=line, axis=axis, digest=digest, channel_id=owner))
    ListEntry.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
    listed = line.list_entries.count()
    if listed > LIST_MAX:
        found = {"found": listed, "most": LIST_MAX}
        raise ValidationError(_("The list would have %(found)d entries, %(most)d at most.") % found)
    if added := listed - count_before:
        Record.write("list", by=by, sale=line.sale, facts={"line": line.code, "people": added})
    return added


class BadEntry(ValidationError):
    """A value for a list that cannot be read: its position, from 1, and its axis. The value itself is not kept."""

    def __init__(self, number: int, axis: Axis) -> None:
        found = {"number": number, "axis": axis.value}
        super().__init__(_("Entry %(number)d: a value of %(axis)s cannot be read.") % found)
        self.number = number


def list_channel(*, line: Allocation, axes: Collection[Axis]) -> int:
    """The channel whose accounts a list of the line means; 0 if several lead to it.

    Raises ValidationError for accounts in a line with several channels.
    """
    channels = list(line.channels.values_list("pk", flat=True))
    channel = channels[0] if len(channels) == 1 else 0
    if not channel and Axis.ACCOUNT in axes:
        raise ValidationError(
            _("An account is known to one partner: a list of accounts needs a line with one channel.")
        )
    return channel


def problems_of(*, sale: Sale, now: datetime) -> list[str]:
    """The reasons why a draft cannot be published, as texts for the admin. Empty when it can be published."""
    lines = list(sale.allocations.prefetch_related("channels", "stock"))
    problems = []
    if sale.opens_at <= now:
        problems.append(_("The opening lies in the past."))
    elif sale.freezes_at <= now:
        text = _("The lines freeze %(seconds)d s before the opening. That time has passed: no person could take part.")
        problems.append(text % {"seconds": sale.freeze_lead_s})
    if sale.campaign.erased_at:
        problems.append(_("The people of this campaign are erased: begin a new campaign."))
    if not sale.offers.exists():
        problems.append(_("The sale offers nothing yet."))
    if not lines:
        problems.append(_("The sale has no line yet: add one."))
    problems += [_("The line %(line)s has no channel.") % {"line": x.code} for x in lines if not x.channels.all()]
    problems += [_("The line %(line)s sells nothing.") % {"line": x.code} for x in lines if not x.stock.all()]
    # People on a list and holders of an old place know their line. All others must find one line through their channel.
    # People do not look for a direct door: the partner names it.
    open_to_all = [x for x in lines if not (x.listed_only or x.carries_id or x.mode == AllocationMode.DIRECT)]
    channels = [channel.pk for x in open_to_all for channel in x.channels.all()]
    if len(channels) != len(set(channels)):
        problems.append(_("A channel leads to two lines that are open to everybody; it must lead to one."))
    if sum(stock.quantity for line in lines for stock in line.stock.all()) > UNITS_MAX:
        problems.append(_("More than %(most)d units.") % {"most": UNITS_MAX})
    problems += [text for line in lines for text in (*_tranche_problems(line), *_carry_problems(line, now))]
    problems += _status_problems(sale)
    problems += _payment_problems(sale, {channel for line in lines for channel in line.channels.all()})
    if not sale.campaign.axes.filter(hard=True, checked_at="enter").exists():
        problems.append(_("The campaign needs a hard axis that is checked when entering."))
    return problems


def _payment_problems(sale: Sale, channels: Collection[Channel]) -> list[str]:
    """Payment accounts and methods that the server does not have, because no buyer could pay by them."""
    named = {sale.campaign.payment_accounts} | {channel.payment_accounts for channel in channels}
    return [
        _("Payment accounts: %(problem)s.") % {"problem": problem}
        for names in sorted(named)
        for problem in payments.names_problems(names)
    ]


def warnings_of(*, sale: Sale) -> list[str]:
    """What an admin should know before publishing, as texts. None of it keeps the draft from being published."""
    text = _(
        "Refunds by %(method)s are possible for %(days)d days. A buyer may appeal for %(hours)d hours, and the appeal "
        "must be decided a day before the refund ends. Shorten the time to appeal, or decide appeals early."
    )
    hours = sale.campaign.appeal_s // 3600
    short = [
        text % {"method": method.name, "days": (method.refund_within or timedelta()).days, "hours": hours}
        for method in methods_with_short_windows(sale.campaign)
    ]
    return [*short, *_unpayable(sale)]


def _unpayable(sale: Sale) -> list[str]:
    """The channels of the sale at which no buyer could pay. On our own page, a partner's word pays nothing."""
    text = _(
        "No buyer can pay at the channel %(channel)s: none of its payment accounts (%(accounts)s) takes payments "
        "there. Name an account of the server there, or leave the field empty."
    )
    channels = Channel.objects.filter(allocations__sale=sale).distinct().order_by("code")
    named = [(channel, channel.payment_accounts or sale.campaign.payment_accounts) for channel in channels]
    return [
        text % {"channel": channel.code, "accounts": names}
        for channel, names in named
        if not payments.methods_of(names=names, own_page=channel.kind == Channel.Kind.OWN_PAGE)
    ]


def _status_problems(sale: Sale) -> list[str]:
    card = replace(card_of(sale), message="-" * MESSAGE_BYTES_MAX)
    longest = {line.code: bytes_at_most(card, line) for line in card.lines}
    text = _(
        "The public status of the line %(line)s could take %(found)d bytes, %(most)d at most: offer less in it, "
        "or give the sale, the line or the SKUs shorter codes."
    )
    return [
        text % {"line": line, "found": found, "most": BYTES_MAX} for line, found in longest.items() if found > BYTES_MAX
    ]


def _tranche_problems(line: Allocation) -> list[str]:
    named = {"line": line.code}
    problems = []
    try:
        # The times of the sale may have changed since the line was planned.
        line.clean()
    except ValidationError as error:
        problems += [f"{line.code}: {text}" for text in error.messages]
    if line.mode == AllocationMode.DIRECT and line.channels.exclude(kind=Channel.Kind.PARTNER).exists():
        problems.append(_("The line %(line)s is direct: only a partner's channel may lead to it.") % named)
    proven_axes = line.sale.campaign.axes.filter(hard=True, checked_at="enter").values("axis")
    if line.listed_only and not line.list_entries.filter(axis__in=proven_axes).exists():
        problems.append(_("The list of the line %(line)s is empty: no person could enter.") % named)
    unreachable = line.list_entries.exclude(channel=None).exclude(channel__in=line.channels.all())
    for code in unreachable.values_list("channel__code", flat=True).distinct():
        text = _("The list of the line %(line)s has accounts of %(channel)s, which does not lead to it.")
        problems.append(text % {"channel": code, **named})
    if line.successor:
        opens_at = max(line.sale.opens_at, line.opens_at or line.sale.opens_at)
        if line.rolls_over_at and line.rolls_over_at <= opens_at:
            problems.append(_("The line %(line)s rolls over before it opens: it could not call people.") % named)
        next_roll_over = line.successor.rolls_over_at
        if _rolls_over_in_circle(line):
            text = _("The line %(line)s rolls over in a circle: its units would come back to it.")
            problems.append(text % named)
        elif next_roll_over and line.rolls_over_at and next_roll_over <= line.rolls_over_at:
            text = _(
                "The line %(line)s rolls over to a line that has rolled over by then: that line could not call people."
            )
            problems.append(text % named)
        sold_skus = set(line.successor.stock.values_list("offer__sku", flat=True))
        missing = sorted(set(line.stock.values_list("offer__sku", flat=True)) - sold_skus)
        if missing:
            skus = {"skus": ", ".join(missing), **named}
            problems.append(_("The successor of the line %(line)s does not sell %(skus)s.") % skus)
    return problems


def _rolls_over_in_circle(line: Allocation) -> bool:
    """Whether units of the line would come back to it over its successors."""
    visited: set[int] = set()
    successor = line.successor
    while successor and successor.pk != line.pk and successor.pk not in visited:
        visited.add(successor.pk)
        successor = successor.successor
    return successor is not None and successor.pk == line.pk


def _carry_problems(line: Allocation, now: datetime) -> list[str]:
    old, named = line.carries, {"line": line.code}
    if old is None:
        return []
    # A person who enters the old line after this publication would have a number that this line does not know.
    if old.sale.phase(ms(now)) not in {Phase.CLOSED, Phase.CALLED_OFF}:
        return [_("The line %(line)s carries over the order of a sale that is not over yet.") % named]
    if old.cohort is None:
        return [_("The line %(line)s carries an order over that is not drawn yet.") % named]
    if old.block > line.sale.max_entries:
        text = _("The line %(line)s carries numbers up to %(last)d over: the sale must allow as many entries.")
        return [text % {**named, "last": old.block}]
    return []


def publish(*, sale: Sale, by: Any = None) -> Sale:
    """Publishes a draft: creates its units, commits it to its draw, and loads it into Redis. Safe to repeat.

    `by` is the person who decides, for the audit trail. Above FLASHSALE_TWO_PEOPLE_UNITS units, the first person only
    proposes: the sale that is returned is still a draft. Raises ValidationError when the draft is not ready, with all
    reasons, and as `two_people.second_to_publish` does. Raises GateDown when Redis does not answer: the sale is
    published then, and the web processes load it within 10 s after Redis answers again.
    """
    with transaction.atomic():
        # An erasure takes this lock, too. So either the erasure finds this sale, or this finds the campaign erased.
        lock_campaign(sale.campaign_id)
        lock_sale(sale.pk, exclusive=True)
        sale.refresh_from_db()
        if sale.state == SaleState.DRAFT:
            now = timezone.now()
            _check(sale, now)
            if not two_people.second_to_publish(sale=sale, by=by, now=now):
                return sale
            _publish(sale, now)
            record([NewEvent(EventType.SALE_PUBLISHED, sale.pk, data=times_of(sale))], now)
            Record.write("publish", by=by, sale=sale, facts=published_terms(sale))
    if sale.epoch == 0:
        rebuild(sale=sale.pk)
        sale.refresh_from_db()
    return sale


def _check(sale: Sale, now: datetime) -> None:
    sale.campaign = lock_campaign(sale.campaign_id)
    problems = problems_of(sale=sale, now=now)
    if problems:
        raise ValidationError(problems)
    sale.full_clean()


def _publish(sale: Sale, now: datetime) -> None:
    sale.commit_to(os.urandom(SECRET_BYTES))
    sale.state, sale.published_at = SaleState.PUBLISHED, now
    sale.beacon_chain = beacon.chain().hash if sale.beacon else ""
    sale.rules = sale.rules or PublishedRuleSet.newest()
    sale.save()
    Campaign.objects.filter(pk=sale.campaign_id, frozen_at=None).update(frozen_at=now)
    for line in sale.allocations.select_related("carries"):
        line.block = line.carries.block if line.carries else min(BLOCK_MIN, sale.max_entries)
        line.save(update_fields=["block"])
    for stock in Stock.objects.filter(allocation__sale=sale).select_related("allocation__sale", "offer"):
        create_units(stock, first=1, last=stock.quantity)


def published_terms(sale: Sale) -> dict[str, Any]:
    """The terms that shoppers and partners rely on from now on. The audit trail keeps them."""
    units: dict[str, dict[str, int]] = {}
    for stock in Stock.objects.filter(allocation__sale=sale).select_related("allocation", "offer"):
        units.setdefault(stock.allocation.code, {})[stock.offer.sku] = stock.quantity
    return {
        "commitment": sale.commitment, "rules": sale.rules.hash if sale.rules else "",
        "opens_at": sale.opens_at.isoformat(), "closes_at": sale.closes_at.isoformat(),
        "limit": [sale.campaign.limit, sale.limit or sale.campaign.limit], "claim_s": sale.claim_s,
        "hold_s": sale.hold_s, "extra_time_share": sale.extra_time_share,
        **_terms_of_draw(sale),
        "prices": dict(sale.offers.values_list("sku", "price")), "units": units,
    }  # fmt: skip


def _terms_of_draw(sale: Sale) -> dict[str, Any]:
    if not sale.commits_entries:
        return {}
    return {"draw": sale.draw_version, "beacon": sale.beacon_chain, "freeze_s": sale.freeze_lead_s}
