"""What was measured of a running sale, second by second, and what the monitor found."""

from django.db import models

from flashsale.models.sale import Sale


class SaleSample(models.Model):
    """The figures of a running sale in one second (since 1970). Kept for 24 hours (life/samples.py).

    `lines`: [line code, entered, called, claimed, lapsed, free, held, sold] of each line. `refused`: how often a reason
    refused a request since the publication. A time in ms is None when there was nothing to measure.
    """

    sale = models.ForeignKey(Sale, models.CASCADE, related_name="samples", db_index=False)
    second = models.BigIntegerField()
    phase = models.CharField(max_length=12)
    lines = models.JSONField()
    refused = models.JSONField(default=dict)
    door_requests = models.PositiveBigIntegerField(default=0)
    door_p95_ms = models.PositiveIntegerField(null=True)
    gate_ms = models.PositiveIntegerField(null=True)
    books_ms = models.PositiveIntegerField(null=True)
    payments_waiting = models.PositiveIntegerField(default=0)
    review_backlog = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["sale", "second"], name="one_sample_a_second")]
        indexes = [models.Index(fields=["second"], name="samples_by_time")]

    def __str__(self) -> str:
        return f"{self.sale_id} {self.second}"


class SaleCheck(models.Model):
    """The last check of a sale's promises by the monitor (life/monitor.py): one row for each sale.

    `broken`: [promise, title, text] of each fault; `broken_since` is the first check in a row that found one. `state`
    is what the next check needs of this one. `gate_behind_s` and `books_behind_s`: for how long Redis has not got what
    PostgreSQL decided, and PostgreSQL not what Redis took.
    """

    sale = models.OneToOneField(Sale, models.CASCADE, primary_key=True, related_name="check_of_promises")
    at = models.DateTimeField()
    whole_at = models.DateTimeField(null=True)
    took_ms = models.PositiveIntegerField(default=0)
    broken = models.JSONField(default=list)
    broken_since = models.DateTimeField(null=True)
    gate_behind_s = models.FloatField(default=0)
    books_behind_s = models.FloatField(default=0)
    state = models.JSONField(default=dict)

    def __str__(self) -> str:
        return str(self.sale_id)
