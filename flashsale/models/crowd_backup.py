"""A recent copy of facts about a line's people that otherwise only Redis (the gate) knows."""

from django.db import models

from flashsale.models.allocation import Allocation


class CrowdBackup(models.Model):
    """Two bitmaps of a line, bit n for index n: people out of the line (left, voided or lost), and tokens seen.

    `entered` counts the new places of each channel with a maximum, by its id.
    They are filled again into Redis after it has lost its data. In a line that carries over the order of another sale,
    `seen` marks the old numbers that people have shown. The bitmaps of a large line are big; they have a table of their
    own so that a query for allocations does not read them.
    """

    allocation = models.OneToOneField(Allocation, models.CASCADE, primary_key=True, related_name="crowd_backup")
    out = models.BinaryField(default=b"")
    seen = models.BinaryField(default=b"")
    entered = models.JSONField(default=dict)

    def __str__(self) -> str:
        return str(self.allocation_id)
