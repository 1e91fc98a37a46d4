"""Sandboxes of partners: which campaign is one, what test keys did, and the magic instruments of test payments."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [("flashsale", "0032_webhooks")]
    operations: ClassVar = [
        migrations.AddField(
            model_name="campaign",
            name="sandbox_of",
            field=models.OneToOneField(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="sandbox",
                to="flashsale.channel",
                verbose_name="sandbox of",
            ),
        ),
        migrations.AddField(
            model_name="democharge",
            name="magic",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=20),
        ),
        migrations.CreateModel(
            name="SandboxCall",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("verb", models.CharField(max_length=20, verbose_name="call")),
                ("subject", models.CharField(blank=True, default="", max_length=64)),
                ("key", models.CharField(blank=True, default="", max_length=128)),
                ("code", models.CharField(max_length=40, verbose_name="answer")),
                ("magic", models.CharField(blank=True, default="", max_length=40)),
                ("facts", models.JSONField(default=dict)),
                ("at", models.DateTimeField(verbose_name="when")),
                (
                    "channel",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sandbox_calls",
                        to="flashsale.channel",
                    ),
                ),
                (
                    "sale",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sandbox_calls",
                        to="flashsale.sale",
                    ),
                ),
            ],
            options={
                "verbose_name": "call in a test sale",
                "verbose_name_plural": "calls in test sales",
                "indexes": [
                    models.Index(fields=["channel", "at"], name="sandbox_calls_by_time"),
                    models.Index(fields=["sale", "verb", "subject"], name="sandbox_calls_by_subject"),
                ],
            },
        ),
    ]
