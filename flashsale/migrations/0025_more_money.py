"""More money than was asked may come several times, and in another currency."""

from typing import ClassVar

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """A refund of too much money that was sent does not stop another one; the currency that came is stored."""

    dependencies: ClassVar = [("flashsale", "0024_refund_dates")]
    operations: ClassVar = [
        migrations.AddField(
            "paymentattempt",
            "paid_currency",
            models.CharField(blank=True, db_default="", default="", max_length=3, verbose_name="currency that came"),
        ),
        migrations.RemoveConstraint("refund", "one_refund_per_attempt_and_reason"),
        migrations.AddConstraint(
            "refund",
            models.UniqueConstraint(
                condition=~Q(state="withdrawn") & (~Q(why="overpaid") | Q(state="due", times=0)),
                fields=["attempt", "why"],
                name="one_refund_per_attempt_and_reason",
            ),
        ),
    ]
