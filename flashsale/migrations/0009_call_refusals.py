"""A call with an Idempotency-Key keeps the payment attempt that it started, and the refusal that followed."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("flashsale", "0008_cancellation_back_to_line")]

    operations = [
        migrations.AddField(
            "ApiCall", "attempt", models.CharField(blank=True, default="", max_length=80, verbose_name="payment attempt")
        ),
        migrations.AddField(
            "ApiCall", "refused", models.CharField(blank=True, default="", max_length=32, verbose_name="refused")
        ),
    ]
