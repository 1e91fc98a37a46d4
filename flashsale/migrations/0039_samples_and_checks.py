"""What is measured of running sales: samples of a second, and the monitor's last check of each sale."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [("flashsale", "0038_sandbox")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="SaleCheck",
            fields=[
                (
                    "sale",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="check_of_promises",
                        serialize=False,
                        to="flashsale.sale",
                    ),
                ),
                ("at", models.DateTimeField()),
                ("whole_at", models.DateTimeField(null=True)),
                ("took_ms", models.PositiveIntegerField(default=0)),
                ("broken", models.JSONField(default=list)),
                ("broken_since", models.DateTimeField(null=True)),
                ("gate_behind_s", models.FloatField(default=0)),
                ("books_behind_s", models.FloatField(default=0)),
                ("state", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="SaleSample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("second", models.BigIntegerField()),
                ("phase", models.CharField(max_length=12)),
                ("lines", models.JSONField()),
                ("refused", models.JSONField(default=dict)),
                ("door_requests", models.PositiveBigIntegerField(default=0)),
                ("door_p95_ms", models.PositiveIntegerField(null=True)),
                ("gate_ms", models.PositiveIntegerField(null=True)),
                ("books_ms", models.PositiveIntegerField(null=True)),
                ("payments_waiting", models.PositiveIntegerField(default=0)),
                ("review_backlog", models.PositiveIntegerField(default=0)),
                (
                    "sale",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="samples",
                        to="flashsale.sale",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=["sale", "second"], name="one_sample_a_second")],
                "indexes": [models.Index(fields=["second"], name="samples_by_time")],
            },
        ),
    ]
