"""What a mail service reports about letters, and the card that the demo's bank charged.

Since this version, units that move to another line of their sale have an event (life/audit_events.py).
"""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [("flashsale", "0029_bank_accounts")]
    operations: ClassVar = [
        migrations.AddField(
            model_name="democharge",
            name="fingerprint",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="notice",
            name="service_id",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=200),
        ),
        migrations.AlterField(
            model_name="notice",
            name="failure",
            field=models.CharField(
                blank=True,
                choices=[
                    ("no_contact", "the buyer's contact data is deleted"),
                    ("bad_address", "the address cannot be right"),
                    ("refused", "the mailbox or its server refused the letter for good"),
                    ("try_later", "the mail server asked to try later"),
                    ("not_accepted", "the mail server does not accept mail from us"),
                    ("no_answer", "the mail server did not answer"),
                    ("not_written", "the letter could not be written"),
                    ("bounced", "the letter came back from the mailbox"),
                    ("rejected", "the mail service does not deliver to this address"),
                    ("complained", "it arrived, and its reader marked it as spam"),
                ],
                max_length=16,
                verbose_name="why it failed",
            ),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                condition=~models.Q(service_id=""), fields=["service_id"], name="notices_by_service_id"
            ),
        ),
    ]
