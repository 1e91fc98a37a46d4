"""A share of the free units bounds what extra time costs other people, so that more places may have it.

New campaigns get version 3 of the canonical forms.
"""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("flashsale", "0010_letters_and_proof_of_work")]

    operations = [
        migrations.AddField(
            "Sale",
            "extra_time_share",
            models.PositiveSmallIntegerField(
                "units kept for extra time, percent",
                default=10,
                validators=[MinValueValidator(1), MaxValueValidator(100)],
                help_text="Of the free units of a line, at most this share (at least one unit) waits for people in their "
                "extra time. For the other units, the next people are called. Shown on the page of the sale.",
            ),
        ),
        migrations.AlterField(
            "Sale",
            "extra_time_max",
            models.PositiveIntegerField(
                "places with extra time in a line, at most",
                default=10_000,
                validators=[MaxValueValidator(10_000)],
                help_text="People who need longer may ask for twice the claim window. They need not say why.",
            ),
        ),
        migrations.AlterField(
            "Campaign", "canon_version", models.PositiveSmallIntegerField(default=3, editable=False)
        ),
    ]
