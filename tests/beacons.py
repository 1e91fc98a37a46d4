"""The simulation's chain of drand (simulation/drand.py) with a relay that can be late, or lie."""

from typing import Any

from simulation import drand
from simulation.drand import CHAIN, INFO, sign

__all__ = ["CHAIN", "INFO", "Relay", "sign"]


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
