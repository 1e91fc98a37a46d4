"""Builds the sale card, the cached description of a sale, from PostgreSQL."""

from flashsale.gate.keys import buckets_for
from flashsale.gate.sale_card import AxisCard, CarriedCard, ChannelCard, LineCard, OfferCard, SaleCard
from flashsale.models import Allocation, Sale
from flashsale.models.campaign import countries_in
from flashsale.models.sale import ms
from flashsale.rules.identity import Axis


def card_of(sale: Sale) -> SaleCard:
    """The sale card as PostgreSQL has it now: all that the web processes need to serve the sale without PostgreSQL."""
    campaign = sale.campaign
    axes = tuple(AxisCard(Axis(a.axis), a.hard, a.checked_at) for a in campaign.axes.order_by("axis"))
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
        offers=tuple(OfferCard(o.sku, o.name, o.price) for o in sale.offers.all()),
        lines=tuple(_line_card(line) for line in _lines(sale)),
        channels=tuple(
            ChannelCard(c.pk, c.code, c.name, c.kind, c.entries_max) for c in campaign.channels.order_by("pk")
        ),
    )  # fmt: skip


def _lines(sale: Sale) -> list[Allocation]:
    rows = sale.allocations.select_related("sale", "successor", "carries").order_by("line_id")
    return list(rows.prefetch_related("channels", "stock__offer"))


def _line_card(line: Allocation) -> LineCard:
    channels = tuple(channel.code for channel in line.channels.all())
    return LineCard(
        line_id=line.line_id, id=line.pk, code=line.code, name=line.name or line.code, channels=channels,
        skus=tuple(stock.offer.sku for stock in line.stock.order_by("offer_id")), mode=line.mode,
        opens_at=ms(line.opens_at) if line.opens_at else 0, listed_only=line.listed_only,
        successor=line.successor.line_id if line.successor else 0,
        rolls_over_at=ms(line.rolls_over_at) if line.rolls_over_at else 0,
        carries=_carried_card(line.carries) if line.carries else None,
    )  # fmt: skip


def _carried_card(old: Allocation) -> CarriedCard:
    return CarriedCard(sale=old.sale_id, line=old.line_id, cohort=old.cohort or 0, seed=old.seed)
