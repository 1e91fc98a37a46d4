"""Reservations keep the partner's reference and metadata. Partners find them by reference, place and time of change."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The columns may be null, so processes of the release before go on writing."""

    dependencies: ClassVar = [("flashsale", "0034_keys_and_quotas")]
    operations: ClassVar = [
        migrations.AddField(
            "reservation",
            "metadata",
            models.JSONField(editable=False, null=True, verbose_name="metadata of the partner"),
        ),
        migrations.AddField(
            "reservation",
            "partner_reference",
            models.CharField(editable=False, max_length=64, null=True, verbose_name="reference of the partner"),
        ),
        migrations.AddIndex(
            "reservation",
            models.Index(
                condition=models.Q(("partner_reference__isnull", False)),
                fields=["channel", "partner_reference"],
                name="reservations_by_reference",
            ),
        ),
        migrations.AddIndex(
            "reservation", models.Index(fields=["allocation", "index"], name="reservations_by_place")
        ),
        # The index before begins with the allocation, so the allocation needs none of its own.
        migrations.AlterField(
            "reservation",
            "allocation",
            models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reservations",
                to="flashsale.allocation",
                verbose_name="line",
            ),
        ),
        migrations.AddIndex(
            "event",
            models.Index(
                condition=models.Q(("reservation__isnull", False)), fields=["channel", "at"], name="changes_of_a_channel"
            ),
        ),
    ]
