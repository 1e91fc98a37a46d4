"""A recent copy of what only the gate knows of a line's people."""

from django.db import models

from flashsale.models.allocation import Allocation


class CrowdBackup(models.Model):
    """Who was out of a line (left, voided or lost) and whose token was seen, a moment ago: bit n for index n.

    What a gate without any memory can still know. In a line that carries an order over, the old numbers shown are those
    seen. A row of its own: bitmaps of a large line are not to be read with every allocation.
    """

    allocation = models.OneToOneField(Allocation, models.CASCADE, primary_key=True, related_name="crowd_backup")
    out = models.BinaryField(default=b"")
    seen = models.BinaryField(default=b"")

    def __str__(self) -> str:
        return str(self.allocation_id)
