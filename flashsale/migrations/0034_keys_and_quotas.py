"""What a partner's key may do, from where and until when; its signing secret; quotas of a channel."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

import flashsale.models.campaign
import flashsale.models.partner_key


class Migration(migrations.Migration):
    """Adds only, with defaults in the database, so processes of the release before go on during the change."""

    dependencies: ClassVar = [("flashsale", "0030_money_doubts")]
    operations: ClassVar = [
        migrations.AddField(
            model_name='channel',
            name='quotas',
            field=models.CharField(blank=True, db_default='', default='', help_text='Calls a minute by class, such as "look:6000, read:600". The classes are enter, look, reserve, pay, read and write. Those that are not named have the default.', max_length=120, validators=[flashsale.models.campaign.known_quotas], verbose_name='quotas a minute'),
        ),
        migrations.AddField(
            model_name='channel',
            name='signatures_required',
            field=models.BooleanField(db_default=False, default=False, help_text='Writes of this partner must be signed with the signing secret of its key.', verbose_name='signed requests only'),
        ),
        migrations.AddField(
            model_name='partnerkey',
            name='expires_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='ends'),
        ),
        migrations.AddField(
            model_name='partnerkey',
            name='last_used_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='last used'),
        ),
        migrations.AddField(
            model_name='partnerkey',
            name='networks',
            field=models.CharField(blank=True, db_default='', default='', help_text="Addresses or networks (CIDR) of the partner's servers between commas. Empty: from anywhere.", max_length=400, validators=[flashsale.models.partner_key.known_networks], verbose_name='only from'),
        ),
        migrations.AddField(
            model_name='partnerkey',
            name='replaces',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='successors', to='flashsale.partnerkey', verbose_name='replaces'),
        ),
        migrations.AddField(
            model_name='partnerkey',
            name='scopes',
            field=models.CharField(db_default='all', default='all', help_text='"all", or scopes between commas.', max_length=80, validators=[flashsale.models.partner_key.known_scopes], verbose_name='may'),
        ),
        migrations.AddField(
            model_name='partnerkey',
            name='sealed',
            field=models.TextField(blank=True, db_default='', default='', editable=False),
        ),
    ]
