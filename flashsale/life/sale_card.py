"""Builds the sale card, the cached description of a sale, from PostgreSQL."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from flashsale.gate.keys import buckets_for
from flashsale.gate.sale_card import AxisCard, CarriedCard, ChannelCard, LineCard, OfferCard, SaleCard
from flashsale.models import Allocation, CampaignAxis, Channel, Offer, Sale
from flashsale.models.campaign import countries_in
from flashsale.models.sale import ms
from flashsale.rules.identity import Axis

Row = TypeVar("Row")


def card_of(sale: Sale) -> SaleCard:
    """The sale card as PostgreSQL has it now: all that the web processes need to serve the sale without PostgreSQL."""
    return cards_of([sale])[0]


def cards_of(sales: Sequence[Sale]) -> list[SaleCard]:
    """The cards of many sales, with as few queries as the card of one."""
    campaigns, ids = {sale.campaign_id for sale in sales}, [sale.pk for sale in sales]
    axes = _by("campaign_id", CampaignAxis.objects.filter(campaign__in=campaigns).order_by("axis"))
    channels = _by("campaign_id", Channel.objects.filter(campaign__in=campaigns).order_by("pk"))
    offers = _by("sale_id", Offer.objects.filter(sale__in=ids))
    lines = Allocation.objects.filter(sale__in=ids).select_related("sale", "successor", "carries")
    rows = _by("sale_id", lines.prefetch_related("channels", "stock__offer").order_by("line_id"))
    return [
        _card(
            sale,
            axes=tuple(AxisCard(Axis(a.axis), a.hard, a.checked_at) for a in axes[sale.campaign_id]),
            offers=tuple(OfferCard(o.sku, o.name, o.price) for o in offers[sale.pk]),
            lines=tuple(map(_line_card, rows[sale.pk])),
            channels=tuple(
                ChannelCard(c.pk, c.code, c.name, c.kind, c.entries_max) for c in channels[sale.campaign_id]
            ),
        )
        for sale in sales
    ]


def _by(name: str, rows: Iterable[Row]) -> dict[int, list[Row]]:
    """The rows by the value of a column, in their order."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found


def _card(
    sale: Sale,
    *,
    axes: tuple[AxisCard, ...],
    offers: tuple[OfferCard, ...],
    lines: tuple[LineCard, ...],
    channels: tuple[ChannelCard, ...],
) -> SaleCard:
    campaign = sale.campaign
    return SaleCard(
        campaign=campaign.pk, campaign_code=campaign.code, sale=sale.pk, code=sale.code, name=sale.name,
        time_zone=campaign.time_zone, currency=campaign.currency, salt=bytes(campaign.salt).hex(), epoch=sale.epoch,
        canon_version=campaign.canon_version, code_countries=tuple(countries_in(campaign.code_countries)),
        codes_need_work=campaign.codes_need_work,
        limit=campaign.limit, sale_limit=sale.limit or 0, lobby_at=ms(sale.lobby_at), opens_at=ms(sale.opens_at),
        closes_at=ms(sale.closes_at), claim_ms=sale.claim_s * 1000, hold_ms=sale.hold_s * 1000,
        overbooking=float(sale.overbooking), rate_per_s=sale.rate_per_s, poll_ms=sale.poll_ms,
        claims_max=sale.claims_max, extra_time_max=sale.extra_time_max,
        extra_time_share=sale.extra_time_share, max_entries=sale.max_entries,
        buckets=buckets_for(sale.max_entries, len(axes)), commitment=sale.commitment, message=sale.message, axes=axes,
        offers=offers, lines=lines, channels=channels, slower_rate=sale.slower_rate,
        slower_until=ms(sale.slower_until) if sale.slower_until else 0, test=campaign.is_test,
        draw_version=sale.draw_version, freeze_ms=1000 * sale.freeze_lead_s, beacon_chain=sale.beacon_chain,
    )  # fmt: skip


def _line_card(line: Allocation) -> LineCard:
    channels = tuple(channel.code for channel in line.channels.all())
    stock = sorted(line.stock.all(), key=lambda stock: stock.offer_id)
    return LineCard(
        line_id=line.line_id, id=line.pk, code=line.code, name=line.name or line.code, channels=channels,
        skus=tuple(stock.offer.sku for stock in stock), mode=line.mode,
        opens_at=ms(line.opens_at) if line.opens_at else 0, listed_only=line.listed_only,
        successor=line.successor.line_id if line.successor else 0,
        rolls_over_at=ms(line.rolls_over_at) if line.rolls_over_at else 0,
        carries=_carried_card(line.carries) if line.carries else None,
    )  # fmt: skip


def _carried_card(old: Allocation) -> CarriedCard:
    return CarriedCard(sale=old.sale_id, line=old.line_id, cohort=old.cohort or 0, seed=old.seed)
