"""Campaigns say by which version of the canonical forms their digests are made: 1 for those that exist, 2 for new ones."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("flashsale", "0003_state_choices")]

    operations = [
        migrations.AddField(
            "Campaign", "canon_version", models.PositiveSmallIntegerField(default=1, editable=False)
        ),
        migrations.AlterField(
            "Campaign", "canon_version", models.PositiveSmallIntegerField(default=2, editable=False)
        ),
    ]
