"""The simulation's chain of drand (simulation/drand.py) with a relay that can be late, or lie, and the steps of a draw.

Tests do not wait for a round: they move the freeze into the past.
"""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from flashsale.gate import bridge
from flashsale.life import draw
from flashsale.models import Sale
from flashsale.rules import lottery
from simulation import drand
from simulation.drand import CHAIN, INFO, sign
from tests.factories import move_opening, tend

__all__ = [
    "CHAIN",
    "INFO",
    "Relay",
    "forget_tries",
    "freeze_is_now",
    "freeze_now",
    "round_comes",
    "round_is_there",
    "sign",
]


class Relay(drand.Relay):
    """A relay. `mode`: "late" answers 404, "wrong" gives the signature of another round, "true" the right one."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = "true"

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """As the mode says."""
        if self.mode == "late":
            return 404, {"error": "EOF"}
        status, fields = super().answer(path)
        if self.mode == "wrong" and status == 200:
            fields = self.fields_of(fields["round"], sign(fields["round"] + 1))
        return status, fields


def freeze_is_now(sale: Sale) -> None:
    """Moves the opening so that the freeze is now."""
    move_opening(sale, timezone.now() + timedelta(seconds=sale.freeze_lead_s, milliseconds=-1))


def freeze_now(sale: Sale) -> None:
    """Moves the opening so that the freeze is now, and runs one tick."""
    freeze_is_now(sale)
    tend(sale)
    sale.refresh_from_db()


def round_is_there(sale: Sale, *, ago_s: int = 120) -> None:
    """Moves the freeze so far into the past that the round of the beacon is there, and relays may be asked again."""
    frozen_at = timezone.now() - timedelta(seconds=ago_s)
    round_ = lottery.round_after(int(frozen_at.timestamp()), CHAIN)
    Sale.objects.filter(pk=sale.pk).update(entries_frozen_at=frozen_at, beacon_round=round_)
    forget_tries()


def round_comes(sale: Sale, *, ago_s: int = 120) -> None:
    """The round of the beacon is there, and one tick runs."""
    round_is_there(sale, ago_s=ago_s)
    tend(sale)
    sale.refresh_from_db()


def forget_tries() -> None:
    """Relays may be asked at once, as by a process that has just started."""

    async def clear() -> None:
        draw.TRIED.entries().clear()

    bridge.run(clear())
