"""What only PostgreSQL (the books) has of a campaign's channels, for pages that a crowd reads: cached for a minute."""

from typing import NamedTuple

from django.core.cache import cache
from django.db import Error

from flashsale.gate.sale_card import SaleCard
from flashsale.models import Channel

FRESH_S = 60


class ChannelPages(NamedTuple):
    """Addresses of a channel: see the fields of Channel."""

    entry_url: str
    checkout_url: str
    frame_origins: str


def of(card: SaleCard) -> dict[str, ChannelPages]:
    """The addresses of the campaign's channels by code; none while PostgreSQL does not answer."""
    key = f"channel-pages/{card.campaign}"
    kept = cache.get(key)
    if kept is None:
        try:
            rows = Channel.objects.filter(campaign_id=card.campaign).values_list("code", *ChannelPages._fields)
            kept = {code: tuple(values) for code, *values in rows}
        except Error:
            return {}
        cache.add(key, kept, FRESH_S)  # does nothing while Redis does not answer
    return {code: ChannelPages(*values) for code, values in kept.items()}
