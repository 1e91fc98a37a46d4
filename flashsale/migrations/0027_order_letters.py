"""Letters about orders. Partners of earlier releases have written to their own buyers, and go on with that."""

import django.db.models.deletion
from django.db import migrations, models

import flashsale.models.campaign
import flashsale.rules.states


def partners_write_themselves(apps, schema_editor):
    channels = apps.get_model("flashsale", "Channel").objects.using(schema_editor.connection.alias)
    channels.filter(kind="partner").update(order_letters=False)


class Migration(migrations.Migration):

    dependencies = [
        ('flashsale', '0025_more_money'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='notice',
            name='one_notice_per_kind',
        ),
        migrations.AddField(
            model_name='campaign',
            name='letter_address',
            field=models.CharField(blank=True, default='', help_text="The mail server must be allowed to send in its name. Empty: the address of the server's sender.", max_length=254, validators=[flashsale.models.campaign.sender_address], verbose_name='address of the sender of letters'),
        ),
        migrations.AddField(
            model_name='campaign',
            name='letter_colour',
            field=models.CharField(default='#0b57d0', help_text='# and six hexadecimal digits. White letters stand on it.', max_length=7, validators=[flashsale.models.campaign.readable_colour], verbose_name='colour of letters'),
        ),
        migrations.AddField(
            model_name='campaign',
            name='letter_name',
            field=models.CharField(blank=True, default='', help_text="Buyers read it in their mailbox. Empty: the name of the server's sender.", max_length=60, validators=[flashsale.models.campaign.sender_name], verbose_name='name of the sender of letters'),
        ),
        migrations.AddField(
            model_name='channel',
            name='order_letters',
            field=models.BooleanField(default=True, help_text='We write to buyers of this channel: how to pay, confirmed, not paid in time, money sent back. Switch it off for a partner that writes to its own buyers. Letters about cancellations go out in any case.', verbose_name='letters about orders'),
        ),
        migrations.AddField(
            model_name='notice',
            name='about',
            field=models.CharField(blank=True, db_default='', default='', max_length=80, verbose_name='about'),
        ),
        migrations.AlterField(
            model_name='notice',
            name='kind',
            field=models.CharField(choices=[('cancelled', 'order cancelled'), ('decided', 'appeal decided'), ('invited', 'invited to the follow-up sale'), ('held', 'how to pay'), ('confirmed', 'order confirmed'), ('expired', 'not paid in time'), ('refunded', 'money sent back')], max_length=12, verbose_name='kind'),
        ),
        migrations.AlterField(
            model_name='notice',
            name='sale',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='notices', to='flashsale.sale', verbose_name='sale'),
        ),
        migrations.AlterField(
            model_name='notice',
            name='state',
            field=models.CharField(choices=[('due', 'due'), ('sent', 'sent'), ('failed', 'failed'), ('told', 'told in another way'), ('dropped', 'not sent, because it was no longer true')], default=flashsale.rules.states.NoticeState['DUE'], max_length=8, verbose_name='state'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(fields=('reservation', 'kind', 'sale', 'about'), name='one_notice_per_subject'),
        ),
        migrations.RunPython(partners_write_themselves, migrations.RunPython.noop),
    ]
