"""The committed entries of a line: the root of their hash tree, and the leaves from which proofs are made."""

from typing import Any

from django.db import models
from django.db.models import F, Q

from flashsale.models.allocation import Allocation
from flashsale.rules.entries import TILE


class Entries(models.Model):
    """What a line has committed to at its freeze. Written once, before any number is known, and never changed.

    `root` is hex. `entered`, `gone` and `never_given` count the indexes by their state. `heads` has 32 bytes for each
    tile (rules/entries.py).
    """

    allocation = models.OneToOneField(Allocation, models.CASCADE, primary_key=True, related_name="entries")
    cohort = models.PositiveIntegerField()
    root = models.CharField(max_length=64)
    entered = models.PositiveIntegerField()
    gone = models.PositiveIntegerField()
    never_given = models.PositiveIntegerField()
    heads = models.BinaryField(default=b"")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(cohort=F("entered") + F("gone") + F("never_given")), name="entries_have_one_state_each"
            ),
        ]

    def __str__(self) -> str:
        return str(self.allocation_id)

    @property
    def states(self) -> tuple[int, int, int]:
        """How many indexes entered, were gone, and were never given."""
        return self.entered, self.gone, self.never_given


class EntriesTile(models.Model):
    """The leaves of TILE entries, 32 bytes each, and their states, one byte each. The last tile may have fewer.

    A leaf is a hash of digests, so the tiles are deleted when the campaign is erased. Root and counts stay.
    """

    entries = models.ForeignKey(Entries, models.CASCADE, related_name="tiles", db_index=False)
    number = models.PositiveSmallIntegerField()
    leaves = models.BinaryField()
    states = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["entries", "number"], name="one_tile_per_number")]

    def __str__(self) -> str:
        return f"{self.entries_id}/{self.number}"

    @classmethod
    def made(cls, entries: Entries, number: int, leaves: bytes, states: bytes) -> Any:
        """The tile with this number. `states` are those of the whole line."""
        return cls(entries=entries, number=number, leaves=leaves, states=states[number * TILE : (number + 1) * TILE])
