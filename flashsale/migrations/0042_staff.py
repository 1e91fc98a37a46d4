"""Campaigns and sessions of staff, proposals of two people, and the rights to publish, approve and settle."""

from typing import ClassVar

import django.core.serializers.json
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('flashsale', '0041_alarms'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name='StaffAccount',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='staff_account', serialize=False, to=settings.AUTH_USER_MODEL, verbose_name='user')),
                ('sessions_from', models.DateTimeField(null=True, verbose_name='sessions count from')),
            ],
            options={
                'verbose_name': 'account of staff',
                'verbose_name_plural': 'accounts of staff',
            },
        ),
        migrations.AlterModelOptions(
            name='case',
            options={'ordering': ['-score', 'pk'], 'permissions': [('approve_case', 'Can approve the cancellation of an order, and undo it')], 'verbose_name': 'case', 'verbose_name_plural': 'cases'},
        ),
        migrations.AlterModelOptions(
            name='refund',
            options={'permissions': [('settle_refund', 'Can settle refunds, transfers by hand and doubts about money')], 'verbose_name': 'refund', 'verbose_name_plural': 'refunds'},
        ),
        migrations.AlterModelOptions(
            name='sale',
            options={'ordering': ['opens_at'], 'permissions': [('publish_sale', 'Can publish a draft'), ('run_sale', 'Can pause, slow down, postpone, enlarge, close and call off a sale')], 'verbose_name': 'sale', 'verbose_name_plural': 'sales'},
        ),
        migrations.CreateModel(
            name='Proposal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('verb', models.CharField(choices=[('publish', 'publish'), ('add_units', 'add units')], max_length=10, verbose_name='action')),
                ('units', models.PositiveIntegerField(verbose_name='units')),
                ('terms', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('digest', models.CharField(max_length=64)),
                ('at', models.DateTimeField(verbose_name='proposed')),
                ('done_at', models.DateTimeField(null=True, verbose_name='carried out')),
                ('withdrawn_at', models.DateTimeField(null=True, verbose_name='replaced')),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='proposed by')),
                ('done_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='carried out by')),
                ('sale', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='proposals', to='flashsale.sale', verbose_name='sale')),
            ],
            options={
                'verbose_name': 'proposal',
                'verbose_name_plural': 'proposals',
                'ordering': ['-pk'],
                'constraints': [models.CheckConstraint(condition=models.Q(('done_by', None), models.Q(('done_by', models.F('by')), _negated=True), _connector='OR'), name='two_people_publish'), models.CheckConstraint(condition=models.Q(models.Q(('done_at', None), ('done_by', None)), models.Q(('done_at__isnull', False), ('done_by__isnull', False)), _connector='OR'), name='proposal_done_by_a_person'), models.CheckConstraint(condition=models.Q(('done_at', None), ('withdrawn_at', None), _connector='OR'), name='proposal_done_or_withdrawn'), models.UniqueConstraint(condition=models.Q(('done_at', None), ('withdrawn_at', None)), fields=('sale', 'verb'), name='one_open_proposal')],
            },
        ),
        migrations.CreateModel(
            name='StaffCampaign',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('campaign', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='flashsale.campaign', verbose_name='campaign')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='staff_campaigns', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'campaign of a user',
                'verbose_name_plural': 'campaigns of a user',
                'constraints': [models.UniqueConstraint(fields=('user', 'campaign'), name='staff_campaign_once')],
            },
        ),
    ]
