"""The checkout of a shop behind our page with the passes to it, and the sites that may show a line."""

from typing import ClassVar

import django.db.models.deletion
import flashsale.models.campaign
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, and the new columns have defaults, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        ("flashsale", "0033_partner_references"),
    ]

    operations: ClassVar = [
        migrations.AddField(
            model_name="channel",
            name="checkout_url",
            field=models.URLField(
                blank=True,
                db_default="",
                default="",
                help_text='Our own page only: people who have reserved pay there, not here. The page brings them there with a pass. The payment account of the channel must be "partner".',
                validators=[flashsale.models.campaign.checkout_address],
                verbose_name="address of the shop's checkout",
            ),
        ),
        migrations.AddField(
            model_name="channel",
            name="frame_origins",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Origins such as https://www.shop.example with spaces between them. Pages of these sites may show the line of this channel in a frame.",
                max_length=500,
                validators=[flashsale.models.campaign.origins],
                verbose_name="sites that may show the line",
            ),
        ),
        migrations.CreateModel(
            name="CheckoutPass",
            fields=[
                (
                    "reservation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="checkout_pass",
                        serialize=False,
                        to="flashsale.reservation",
                        verbose_name="reservation",
                    ),
                ),
                ("issued", models.PositiveIntegerField(default=0)),
                ("redeemed", models.PositiveIntegerField(default=0)),
                ("redeemed_at", models.DateTimeField(null=True, verbose_name="redeemed")),
                ("call", models.BigIntegerField(null=True)),
            ],
            options={
                "verbose_name": "pass",
                "verbose_name_plural": "passes",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("redeemed__lte", models.F("issued"))), name="only_passes_redeemed"
                    )
                ],
            },
        ),
    ]
