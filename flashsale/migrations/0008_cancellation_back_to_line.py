"""Notes with a cancellation whether its units went back to the line."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("flashsale", "0006_sealed_secret")]

    operations = [
        migrations.AddField(
            model_name="cancellation",
            name="back_to_line",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="The buyer cancelled while the sale was running: the next person in the line gets the units.",
                verbose_name="back to the line",
            ),
        ),
    ]
