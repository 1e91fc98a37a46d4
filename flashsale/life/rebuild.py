"""Rebuild: the gate is filled from the books under a new epoch, at publication and whenever it has lost its memory."""

import logging
from collections.abc import Mapping

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, load, sale_cards, scripts
from flashsale.gate.keys import buckets_for
from flashsale.gate.sale_card import AxisCard, CarriedCard, ChannelCard, LineCard, OfferCard, SaleCard
from flashsale.gate.sale_cards import REMEMBERED
from flashsale.life import snapshot
from flashsale.life.books import alone, in_books
from flashsale.models import Allocation, Campaign, Listed, Record, Reservation, Sale, Unit
from flashsale.models.sale import ms
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import ReservationState, SaleState, UnitState

log = logging.getLogger(__name__)
# Of PostgreSQL's advisory locks ("fill" in ASCII).
FILLING_LOCK = int.from_bytes(b"fill")


def card_of(sale: Sale) -> SaleCard:
    """What doors need to know of a sale, as the books have it."""
    campaign = sale.campaign
    axes = tuple(AxisCard(Axis(a.axis), a.hard, a.checked_at) for a in campaign.axes.order_by("axis"))
    return SaleCard(
        campaign=campaign.pk, campaign_code=campaign.code, sale=sale.pk, code=sale.code, name=sale.name,
        time_zone=campaign.time_zone, currency=campaign.currency, salt=bytes(campaign.salt).hex(), epoch=sale.epoch,
        limit=campaign.limit, sale_limit=sale.limit or 0, lobby_at=ms(sale.lobby_at), opens_at=ms(sale.opens_at),
        closes_at=ms(sale.closes_at), claim_ms=sale.claim_s * 1000, hold_ms=sale.hold_s * 1000,
        overbooking=float(sale.overbooking), rate_per_s=sale.rate_per_s, poll_ms=sale.poll_ms,
        claims_max=sale.claims_max, extra_time_max=sale.extra_time_max, max_entries=sale.max_entries,
        buckets=buckets_for(sale.max_entries, len(axes)), commitment=sale.commitment, message=sale.message, axes=axes,
        offers=tuple(OfferCard(o.sku, o.name, o.price) for o in sale.offers.all()),
        lines=tuple(_line_card(line) for line in _lines(sale)),
        channels=tuple(ChannelCard(c.pk, c.code, c.name, c.kind) for c in campaign.channels.order_by("pk")),
    )  # fmt: skip


def _lines(sale: Sale) -> list[Allocation]:
    rows = sale.allocations.select_related("sale", "successor", "carries").order_by("number")
    return list(rows.prefetch_related("channels", "stock__offer"))


def _line_card(line: Allocation) -> LineCard:
    channels = tuple(channel.code for channel in line.channels.all())
    return LineCard(
        number=line.number, id=line.pk, code=line.code, name=line.name or line.code, channels=channels,
        skus=tuple(stock.offer.sku for stock in line.stock.order_by("offer_id")), mode=line.mode,
        opens_at=ms(line.opens_at) if line.opens_at else 0, listed_only=line.listed_only,
        successor=line.successor.number if line.successor else 0,
        rolls_over_at=ms(line.rolls_over_at) if line.rolls_over_at else 0,
        carries=_carried_card(line.carries) if line.carries else None,
    )  # fmt: skip


def _carried_card(old: Allocation) -> CarriedCard:
    return CarriedCard(sale=old.sale_id, line=old.number, cohort=old.cohort or 0, seed=old.seed)


def rebuild(*, sale: int) -> SaleCard:
    """Fills the gate for a published sale, and all others of its campaign, that it does not know; safe to repeat.

    Sales of a campaign count against one limit and are lost together, so they come back together: none of them takes
    before all that was counted is there, and nobody commits meanwhile what an older gate decided for one of them.
    Raises GateDown; the sales then stay closed.

    Whoever comes meanwhile waits: an epoch raised twice looks like a loss, and a line that has lost its memory begins
    behind all indexes that may have been given.

    1. The books raise the epochs. If we die after this, the next one begins again.
    2. The sales' rows stay locked while the gate is filled, so that one process does it and nothing ends meanwhile.
    """
    campaign = Sale.objects.values_list("campaign_id", flat=True).get(pk=sale)
    with alone(FILLING_LOCK, campaign, wait=True):
        raised = _raise_epochs(campaign)
        if raised:
            _fill_gate(campaign, raised)
    if raised:
        log.info("rebuilt %s", ", ".join(f"{code} in epoch {epoch}" for code, epoch in raised.items()))
    return card_of(Sale.objects.select_related("campaign").get(pk=sale))


@transaction.atomic
def _raise_epochs(campaign: int) -> dict[str, int]:
    """Code and new epoch of the sales that the gate does not know; their clocks go on by the next beat."""
    rows, _ = _lock_unknown(campaign)
    for row in rows:
        row.epoch += 1
        row.save(update_fields=["epoch"])
    for row in rows:
        Record.write("rebuild", by="clock", sale=row, facts={"epoch": row.epoch})
    return {row.code: row.epoch for row in rows}


@transaction.atomic
def _fill_gate(campaign: int, raised: Mapping[str, int]) -> None:
    rows, others = _lock_unknown(campaign)
    # Somebody else may have raised them further meanwhile, for the same loss.
    rows = [row for row in rows if row.code in raised and row.epoch >= raised[row.code]]
    if rows:
        # Where another sale is taking, the campaign's counts are there and go on without us.
        counts = None if others else snapshot.counts_of(campaign, card_of(rows[0]))
        bridge.run(load.load([snapshot.sale_of(row, card_of(row)) for row in rows], counts))


def _lock_unknown(campaign: int) -> tuple[list[Sale], int]:
    """The campaign's sales that the gate does not know, locked, and how many it knows."""
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign)
    published = Sale.objects.filter(campaign=campaign).exclude(state=SaleState.DRAFT).order_by("pk")
    ids = [row.pk for row in published.select_related("campaign") if not bridge.run(_answers(card_of(row)))]
    for id_ in ids:
        lock_sale(id_, exclusive=True)
    return list(published.filter(pk__in=ids).select_related("campaign")), published.count() - len(ids)


async def _answers(card: SaleCard) -> bool:
    return not isinstance(await scripts.due(card, most=0), Outcome)


async def mend(*, card: SaleCard) -> int:
    """Offers every unit to the gate that is free in the books and not known there; how many were missing. It hears
    who is on a line's list, too.

    A message from the books may be lost with the process that carried it; this finds what it said.
    """
    offered = 0
    for line in card.lines:
        free = await in_books(_free_units, line.id)
        for start in range(0, len(free), load.CHUNK):
            answer = await scripts.give(card, line, units=free[start : start + load.CHUNK])
            offered += answer if isinstance(answer, int) else 0
        if line.listed_only:
            await load.put_on_list(card, line=line.number, digests=await in_books(_listed, line.id))
    return offered


def _listed(allocation: int) -> list[str]:
    return list(Listed.objects.filter(allocation=allocation).values_list("digest", flat=True))


def _free_units(allocation: int) -> list[tuple[int, int, str]]:
    rows = Unit.objects.filter(allocation=allocation, state=UnitState.FREE)
    return list(rows.values_list("id", "version", "sku"))


def live_sales() -> dict[str, int]:
    """Code and id of every sale that doors must know: published and not closed, called off lately, or with something
    held. By its state: when it is over says the line's clock, which may have stood for days."""
    live = Q(state__in=[SaleState.PUBLISHED, SaleState.PAUSED])
    live |= Q(state=SaleState.CALLED_OFF, closes_at__gt=timezone.now() - REMEMBERED)
    live |= Q(pk__in=Reservation.objects.filter(state=ReservationState.HELD).values("sale"))
    return dict(Sale.objects.filter(live).values_list("code", "id"))


async def find_lost() -> None:
    """Rebuilds sales that the books have published and the gate has never heard of."""
    known = set(await sale_cards.codes())
    for code, sale in (await in_books(live_sales)).items():
        if code not in known:
            await in_books(rebuild, sale=sale)
