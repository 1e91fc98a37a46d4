"""Rebuild: the gate is filled from the books under a new epoch, at publication and whenever it has lost its memory."""

import logging
from collections import Counter
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from flashsale.gate import bridge, cards, load, scripts
from flashsale.gate.card import AxisCard, CarriedCard, ChannelCard, LineCard, OfferCard, SaleCard
from flashsale.gate.keys import buckets_for
from flashsale.life.books import in_books
from flashsale.life.taken import taken_of
from flashsale.models import Allocation, Claim, Record, Reservation, Sale, Unit, Unpaid
from flashsale.models.sale import ms
from flashsale.models.writer import lock_sale
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import Mode, ReservationState, SaleState, UnitState

log = logging.getLogger(__name__)

# How long after its end the gate still knows a sale.
REMEMBERED = timedelta(hours=24)


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
        max_entries=sale.max_entries,
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
    """Fills the gate for a published sale that it does not know; safe to repeat at any moment.

    Raises GateDown; the sale then stays closed. The sale's row stays locked meanwhile, so that one process rebuilds and
    nobody commits what an older gate decided: the epoch that the books demand has moved on.
    """
    with transaction.atomic():
        lock_sale(sale, exclusive=True)
        row = Sale.objects.select_related("campaign").get(pk=sale)
        if row.epoch and bridge.run(_answers(card_of(row))):
            return card_of(row)
        row.epoch += 1
        row.save(update_fields=["epoch"])
        snapshot = _snapshot(row)
        bridge.run(load.load(snapshot))
        Record.write("rebuild", by="clock", sale=row, facts={"epoch": row.epoch})
    log.info("rebuilt %s in epoch %s", row.code, row.epoch)
    return snapshot.card


async def _answers(card: SaleCard) -> bool:
    return not isinstance(await scripts.due(card, most=0), Outcome)


def _snapshot(row: Sale) -> load.SaleLoad:
    card = card_of(row)
    reservations = list(
        Reservation.objects.filter(sale=row).exclude(state=ReservationState.ABANDONED)
        .prefetch_related("holdings__unit", "claims")
    )  # fmt: skip
    # What uses up a limit: held, confirmed, and cancelled by review while an appeal is possible.
    counted = [r for r in reservations if r.claims.all()]
    free: dict[tuple[int, str], dict[str, int]] = {}
    units = {}
    numbers = {line.id: line.number for line in card.lines}
    for unit in Unit.objects.filter(allocation__sale=row).iterator():
        units[str(unit.pk)] = unit.version
        if unit.state == UnitState.FREE:
            free.setdefault((numbers[unit.allocation_id], unit.sku), {})[str(unit.pk)] = unit.version
    return load.SaleLoad(
        card=card, fresh=row.epoch == 1, revision=row.revision, state=row.state, units=units, free=free,
        paused_at=ms(row.paused_at) if row.paused_at else 0, paused_ms=row.paused_ms, frozen=row.frozen_at is not None,
        runs_until=row.runs_until,
        lines=[_line_load(line, reservations) for line in row.allocations.all()],
        asked={r.asked: taken_of(card, r) for r in reservations}, holds={str(r.pk): r.asked for r in counted},
        due={str(r.pk): r.deadline_ms for r in counted if r.state == ReservationState.HELD},
        used_campaign=_counted(Claim.objects.filter(scope=Claim.campaign_scope(row.campaign_id)), card),
        used_sale=_counted(Claim.objects.filter(scope=Claim.sale_scope(row.pk)), card),
        unpaid=_counted(Unpaid.objects.filter(campaign=row.campaign_id), card),
    )  # fmt: skip


def _line_load(line: Allocation, reservations: list[Reservation]) -> load.LineLoad:
    mine = [r for r in reservations if r.allocation_id == line.pk]
    by_state: Counter[str] = Counter()
    for reservation in mine:
        if reservation.claims.all():
            by_state[reservation.state] += reservation.quantity
    # Whoever reserved had been called, even if the books were never told how far.
    called = max([line.called, *(r.number for r in mine)])
    return load.LineLoad(
        number=line.number, block=line.block, cohort=line.cohort, seed=line.seed, called=called,
        held=by_state.pop(ReservationState.HELD, 0), sold=by_state.total(), spent=[r.number for r in mine],
        entered=max([line.entered, *(r.index for r in mine)]),
        listed=list(line.listed.values_list("digest", flat=True)), direct=line.mode == Mode.DIRECT,
        carried=line.block if line.carries_id else 0,
    )  # fmt: skip


def _counted(rows: QuerySet[Any], card: SaleCard) -> dict[str, int]:
    """Rows by digest, on the axes that the gate counts: those proven at the door."""
    axes = [axis.value for axis in card.hard_at_enter]
    return dict(Counter(rows.filter(axis__in=axes).values_list("digest", flat=True)))


async def mend(*, card: SaleCard) -> int:
    """Offers every unit to the gate that is free in the books and not known there; how many were missing.

    A message from the books may be lost with the process that carried it; this finds what it said.
    """
    offered = 0
    for line in card.lines:
        free = await in_books(_free_units, line.id)
        for start in range(0, len(free), load.CHUNK):
            answer = await scripts.give(card, line, units=free[start : start + load.CHUNK])
            offered += answer if isinstance(answer, int) else 0
    return offered


def _free_units(allocation: int) -> list[tuple[int, int, str]]:
    rows = Unit.objects.filter(allocation=allocation, state=UnitState.FREE)
    return list(rows.values_list("id", "version", "sku"))


def live_sales() -> dict[str, int]:
    """Code and id of every sale that doors must know: published and not yet over for a day."""
    live = Q(state=SaleState.PUBLISHED, closes_at__gt=timezone.now() - REMEMBERED) | Q(state=SaleState.PAUSED)
    return dict(Sale.objects.filter(live).values_list("code", "id"))


async def find_lost() -> None:
    """Rebuilds sales that the books have published and the gate has never heard of."""
    known = set(await cards.codes())
    for code, sale in (await in_books(live_sales)).items():
        if code not in known:
            await in_books(rebuild, sale=sale)
