"""Reservations that Redis never checked, for the tests of PostgreSQL's own constraints."""

import uuid
from typing import Any

from flashsale.books.reservations import NewReservation, ReservedUnit, SlotRequest
from flashsale.models import LimitSlot, Unit
from tests.factories import PHONE, lobby_sale


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
        scope = LimitSlot.campaign_scope(self.sale.campaign_id)
        values: dict[str, Any] = {
            "id": uuid.uuid4(), "sale": self.sale.pk, "epoch": self.sale.epoch, "allocation": self.line.pk,
            "channel": self.channel.pk, "index": place or n + 1, "number": place or n + 1, "asked": f"key-{n}",
            "fingerprint": "p", "units": (ReservedUnit(piece.pk, 1, PHONE, 1),), "made_ms": 1, "deadline_ms": 2,
            "limit_slots": tuple(SlotRequest(scope, axis, who or f"person-{n}", 1) for axis in ("email", "phone")),
        }  # fmt: skip
        return NewReservation(**values | fields)
