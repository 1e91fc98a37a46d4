"""The bank accounts of buyers to whom no provider can send money back, and when a transfer was made."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [("flashsale", "0027_order_letters")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="BankAccount",
            fields=[
                ("sealed", models.TextField(editable=False)),
                (
                    "refund",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="bank_account",
                        serialize=False,
                        to="flashsale.refund",
                    ),
                ),
                ("given_at", models.DateTimeField(verbose_name="given")),
                ("listed_at", models.DateTimeField(null=True, verbose_name="on a list for transfers")),
            ],
            options={"verbose_name": "bank account", "verbose_name_plural": "bank accounts"},
        ),
        migrations.AddField(
            model_name="refund",
            name="transferred_at",
            field=models.DateTimeField(null=True, verbose_name="transferred"),
        ),
        migrations.AlterField(
            model_name="notice",
            name="kind",
            field=models.CharField(
                choices=[
                    ("cancelled", "order cancelled"),
                    ("decided", "appeal decided"),
                    ("invited", "invited to the follow-up sale"),
                    ("held", "how to pay"),
                    ("confirmed", "order confirmed"),
                    ("expired", "not paid in time"),
                    ("refunded", "money sent back"),
                    ("bank_account", "bank account for a refund"),
                ],
                max_length=12,
                verbose_name="kind",
            ),
        ),
    ]
