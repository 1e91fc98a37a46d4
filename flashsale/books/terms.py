"""Terms: what PostgreSQL (the books) says about prices, limits, channels and times of a sale.

Redis (the gate) says what was reserved, when and for how much. A person who can write to Redis could make a phone cost
one rupiah. So the writer compares each new reservation with these terms before it commits it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection

from flashsale.models.allocation import Allocation
from flashsale.models.campaign import CampaignAxis
from flashsale.models.limit_slot import LimitSlot
from flashsale.models.offer import Offer
from flashsale.models.sale import Sale, ms

if TYPE_CHECKING:
    from flashsale.books.reservations import NewReservation


class LineTerms(NamedTuple):
    """When a line opens (ms), and the ids of the channels that it serves."""

    opens_ms: int
    channels: frozenset[int]


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a sale. `slots`: scope, axis and limit of every limit slot that a reservation needs for a unit."""

    prices: Mapping[str, int]
    slots: frozenset[tuple[str, str, int]]
    hold_ms: int
    lines: Mapping[int, LineTerms]

    def difference(self, new: "NewReservation") -> str:
        """In what a new reservation differs from the terms, in words; empty if in nothing."""
        return "; ".join(self._differences(new))

    def _differences(self, new: "NewReservation") -> Iterator[str]:
        line = self.lines.get(new.allocation)
        if line is None:
            yield f"the sale has no line {new.allocation}"
        else:
            if new.channel not in line.channels:
                yield f"the line does not serve channel {new.channel}"
            if new.made_ms < line.opens_ms:
                yield f"it was made {line.opens_ms - new.made_ms} ms before the line opened"
        if new.deadline_ms - new.made_ms != self.hold_ms:
            yield f"it is held for {new.deadline_ms - new.made_ms} ms, the sale says {self.hold_ms}"
        slots = {(slot.scope, slot.axis, slot.limit) for slot in new.limit_slots}
        if slots != self.slots or len(slots) != len(new.limit_slots):
            yield f"the limit slots are {sorted(slots)}, the sale says {sorted(self.slots)}"
        if not new.units:
            yield "it has no units"
        for unit in new.units:
            if self.prices.get(unit.sku) != unit.price:
                yield f"the price of {unit.sku} is {unit.price}, the sale says {self.prices.get(unit.sku)}"


def terms_now(sale: int) -> Terms:
    """The terms of a published sale. Plain SQL, because it runs with every batch."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT commitment, revision FROM flashsale_sale WHERE id = %s", [sale])
        commitment, revision = cursor.fetchone()
    return terms_of(sale, str(commitment), int(revision))


@lru_cache(maxsize=256)
def terms_of(sale: int, commitment: str, revision: int) -> Terms:  # noqa: ARG001 - these two are part of the key
    """The terms of a published sale.

    They are cached, because every batch of reservations needs them. Only a decision about the sale changes them, and
    each decision has a new revision. The commitment is part of the key, because a restored database may use an id
    again.
    """
    row = Sale.objects.select_related("campaign").get(pk=sale)
    limits = {LimitSlot.campaign_scope(row.campaign_id): row.campaign.limit}
    if row.limit:
        limits[LimitSlot.sale_scope(row.pk)] = row.limit
    axes = CampaignAxis.objects.filter(campaign=row.campaign_id, hard=True, checked_at="enter")
    axis_names = list(axes.values_list("axis", flat=True))
    lines = Allocation.objects.filter(sale=row).prefetch_related("channels")
    return Terms(
        prices=dict(Offer.objects.filter(sale=row).values_list("sku", "price")),
        slots=frozenset((scope, axis, limit) for scope, limit in limits.items() for axis in axis_names),
        hold_ms=row.hold_s * 1000,
        lines={
            line.pk: LineTerms(
                max(ms(row.opens_at), ms(line.opens_at) if line.opens_at else 0),
                frozenset(channel.pk for channel in line.channels.all()),
            )
            for line in lines
        },
    )
