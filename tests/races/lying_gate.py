"""Reservations that Redis never checked, for the tests of PostgreSQL's own constraints."""

import uuid
from typing import Any

from flashsale.books.reservations import NewReservation, ReservedUnit, SlotRequest
from flashsale.models import LimitSlot, Unit
from flashsale.models.sale import ms
from tests.factories import PHONE, lobby_sale
from tests.life.buyers import PRICE


class LyingGate:
    """Stands for a Redis that decides without a check."""

    def __init__(self, stock: int = 8, **fields: Any) -> None:
        self.sale = lobby_sale(stock={PHONE: stock}, max_entries=1000, **fields)
        self.sale.refresh_from_db()
        self.line = self.sale.allocations.get()
        self.units = list(Unit.objects.order_by("pk"))
        self.channel = self.line.channels.get()

    def winner(
        self, n: int, *, unit: int | None = None, who: str = "", place: int = 0, **fields: Any
    ) -> NewReservation:
        piece = self.units[n if unit is None else unit]
        limit = self.sale.campaign.limit
        scope = LimitSlot.campaign_scope(self.sale.campaign_id)
        values: dict[str, Any] = {
            "id": uuid.uuid4(), "sale": self.sale.pk, "epoch": self.sale.epoch, "allocation": self.line.pk,
            "channel": self.channel.pk, "index": place or n + 1, "number": place or n + 1, "asked": f"key-{n}",
            "fingerprint": "p", "units": (ReservedUnit(piece.pk, 1, PHONE, PRICE),), "made_ms": ms(self.sale.opens_at),
            "deadline_ms": ms(self.sale.opens_at) + self.sale.hold_s * 1000,
            "limit_slots": tuple(SlotRequest(scope, axis, who or f"person-{n}", limit) for axis in ("email", "phone")),
        }  # fmt: skip
        return NewReservation(**values | fields)
