"""Which reservation a place was used for. Only the channel that made the reservation learns it."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import Error

from flashsale.books.batcher import Batcher
from flashsale.books.rows import Select
from flashsale.gate.sale_card import ChannelCard, LineCard
from flashsale.models import Reservation
from flashsale.rules.states import ReservationState

# The refusal is the answer. The id is a help, so no caller waits long for it.
WAIT_S = 0.5

_rows = Select(
    lambda allocations, indexes: Reservation.objects.filter(allocation__in=allocations, index__in=indexes).values_list(
        "allocation_id", "index", "channel_id", "state", "id"
    )
)


class _UsedPlace(NamedTuple):
    allocation: int
    at: int
    channel: int


async def reservation_of(*, line: LineCard, channel: ChannelCard, index: int) -> UUID | None:
    """The reservation of the place with this index. None if another channel made it, or if PostgreSQL does not answer.

    Two partners may name one person, and then both have the place. The one that did not reserve learns nothing more.
    """
    try:
        async with asyncio.timeout(WAIT_S):
            return await _reading.ask(_UsedPlace(line.id, index, channel.id))
    except (Error, TimeoutError):
        return None


def _read(places: Sequence[_UsedPlace]) -> list[UUID | None]:
    rows = _rows(list({place.allocation for place in places}), list({place.at for place in places}))
    found = {row[:3]: row[4] for row in rows if row[3] != ReservationState.ABANDONED}
    return [found.get(place) for place in places]


_reading: Batcher[_UsedPlace, UUID | None] = Batcher("spent-places", _read)
