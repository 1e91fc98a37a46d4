"""Requirements: what a partner must know of a sale before it sells in it, read from PostgreSQL and the settings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flashsale.gate import bridge, inspect
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life.sale_card import card_of
from flashsale.models import Channel, Sale
from flashsale.providers import payments


class ChannelLine(NamedTuple):
    """A line as a channel may use it.

    `entries_max`: how many new places the channel may take. `entries`: how many it has taken; None where Redis does not
    count them, because the channel may fill the line, and while Redis does not answer.
    """

    code: str
    entries_max: int
    entries: int | None


class ChannelRequirements(NamedTuple):
    """What a sale means for one channel: its code, its lines, and the methods by which its buyers may pay."""

    code: str
    lines: list[ChannelLine]
    methods: list[payments.Method]


def requirements_of(*, sale: Sale, channel: int) -> ChannelRequirements | None:
    """What the sale means for this channel (an id); None if no line of the sale leads to the channel."""
    card = card_of(sale)
    found = card.channel_ids.get(channel)
    lines = [line for line in card.lines if found and found.code in line.channels]
    if found is None or not lines:
        return None
    entries = _entries(card, lines, found)
    names = Channel.objects.values_list("payment_accounts", flat=True).get(pk=channel) or sale.campaign.payment_accounts
    return ChannelRequirements(
        found.code,
        [ChannelLine(line.code, _most(card, line, found), entries.get(line.code)) for line in lines],
        payments.methods_of(names=names, own_page=found.proves_by_code, test=sale.campaign.is_test),
    )


def _most(card: SaleCard, line: LineCard, channel: ChannelCard) -> int:
    return min(card.entries_most(line, channel) or card.max_entries, card.max_entries)


def _entries(card: SaleCard, lines: list[LineCard], channel: ChannelCard) -> Mapping[str, Any]:
    counted = [line for line in lines if card.entries_most(line, channel)]
    try:
        counts = bridge.run(inspect.entries_of_channel(card, counted, channel.id))
    except GateDown:
        return {}
    return {line.code: count for line, count in zip(counted, counts, strict=True)}
