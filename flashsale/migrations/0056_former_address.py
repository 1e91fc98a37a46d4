"""Letters to former e-mail addresses, and another word for a letter that is dropped."""

from typing import ClassVar

from django.db import migrations, models

import flashsale.rules.states


class Migration(migrations.Migration):
    """Changes choices only, so processes of the release before go on during the change.

    They try such a letter again later, because they do not know its text.
    """

    dependencies: ClassVar = [("flashsale", "0055_committed_entries")]
    operations: ClassVar = [
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
                    ("address", "to the former address"),
                ],
                max_length=12,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="notice",
            name="state",
            field=models.CharField(
                choices=[
                    ("due", "due"),
                    ("sent", "sent"),
                    ("failed", "failed"),
                    ("told", "told in another way"),
                    ("dropped", "dropped, because it is not needed"),
                ],
                default=flashsale.rules.states.NoticeState["DUE"],
                max_length=8,
                verbose_name="state",
            ),
        ),
    ]
