"""Letters keep why they failed, the time to appeal waits for them, and a campaign may ask for proof of work."""

from django.db import migrations, models
from django.db.models import Q
from django.utils import timezone

import flashsale.rules.states


def wait_for_letters(apps, schema_editor):
    """A time to appeal that runs although the letter is not sent waits for the letter from now on."""
    database = schema_editor.connection.alias
    untold = apps.get_model("flashsale", "Notice").objects.using(database).filter(
        kind="cancelled", state__in=["due", "failed"]
    )
    rows = apps.get_model("flashsale", "Cancellation").objects.using(database).filter(
        reservation__in=untold.values("reservation"), case__isnull=False, case__appeal=None
    )
    rows.filter(appeal_until__gte=timezone.now()).update(appeal_until=None)


STATES = [("due", "due"), ("sent", "sent"), ("failed", "failed"), ("told", "told in another way")]
FAILURES = [
    ("no_contact", "the buyer's contact data is deleted"),
    ("bad_address", "the address cannot be right"),
    ("refused", "the mailbox or its server refused the letter for good"),
    ("try_later", "the mail server asked to try later"),
    ("not_accepted", "the mail server does not accept mail from us"),
    ("no_answer", "the mail server did not answer"),
    ("not_written", "the letter could not be written"),
]


class Migration(migrations.Migration):

    dependencies = [("flashsale", "0009_call_refusals")]

    operations = [
        migrations.AddField(
            "Notice",
            "failure",
            models.CharField(blank=True, choices=FAILURES, default="", max_length=16, verbose_name="why it failed"),
            preserve_default=False,
        ),
        migrations.AddField(
            "Notice", "smtp_code", models.PositiveSmallIntegerField(null=True, verbose_name="SMTP code")
        ),
        migrations.AlterField(
            "Notice",
            "state",
            models.CharField(
                choices=STATES,
                default=flashsale.rules.states.NoticeState["DUE"],
                max_length=8,
                verbose_name="state",
            ),
        ),
        migrations.RemoveConstraint("Notice", "notice_state_with_time"),
        migrations.AddConstraint(
            "Notice",
            models.CheckConstraint(
                condition=Q(state__in=["sent", "told"], sent_at__isnull=False)
                | (~Q(state__in=["sent", "told"]) & Q(sent_at=None)),
                name="notice_state_with_time",
            ),
        ),
        migrations.AddField(
            "Campaign",
            "codes_need_work",
            models.BooleanField(
                default=False,
                help_text="A browser computes for some seconds before it gets a code, so that a flood of codes is "
                "expensive.",
                verbose_name="proof of work before codes",
            ),
        ),
        migrations.RunPython(wait_for_letters, migrations.RunPython.noop),
    ]
