"""Campaigns say how their digests are made and which phones get codes.

Campaigns that exist keep version 1 of the canonical forms; new ones get version 2.
"""

from django.db import migrations, models

import flashsale.models.campaign


class Migration(migrations.Migration):

    dependencies = [("flashsale", "0003_state_choices")]

    operations = [
        migrations.AddField(
            "Campaign", "canon_version", models.PositiveSmallIntegerField(default=1, editable=False)
        ),
        migrations.AlterField(
            "Campaign", "canon_version", models.PositiveSmallIntegerField(default=2, editable=False)
        ),
        migrations.AddField(
            "Campaign",
            "code_countries",
            models.CharField(
                default="ID",
                help_text="Two-letter codes between commas. A code goes to mobile numbers of these countries only.",
                max_length=120,
                validators=[flashsale.models.campaign.known_countries],
                verbose_name="countries of phones that get codes",
            ),
        ),
    ]
