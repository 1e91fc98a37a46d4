"""Rings, notes, deadlines and lists of the review; rule sets that are only to try out."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        ('flashsale', '0044_calendar_links'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name='CaseNote',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sealed', models.TextField(editable=False)),
                ('at', models.DateTimeField(verbose_name='at')),
            ],
            options={
                'verbose_name': 'note on a case',
                'verbose_name_plural': 'notes on cases',
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='ListedValue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('allow', 'allow: a known household or company'), ('block', 'block: people always look')], max_length=5, verbose_name='list')),
                ('axis', models.CharField(max_length=20, verbose_name='axis')),
                ('digest', models.CharField(max_length=32)),
                ('why', models.CharField(max_length=200, verbose_name='reason')),
                ('made_at', models.DateTimeField(verbose_name='made')),
                ('expires_at', models.DateTimeField(verbose_name='expires')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='ended')),
            ],
            options={
                'verbose_name': 'value on a list',
                'verbose_name_plural': 'allow and block lists',
                'ordering': ['-made_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='RingOrder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('group', models.PositiveIntegerField(verbose_name='group')),
                ('score', models.FloatField(verbose_name='score')),
                ('evidence', models.JSONField(default=dict, verbose_name='evidence')),
            ],
            options={
                'verbose_name': 'order of a ring',
                'verbose_name_plural': 'orders of rings',
            },
        ),
        migrations.AddField(
            model_name='case',
            name='assigned_to',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='assigned to'),
        ),
        migrations.AddField(
            model_name='case',
            name='deadline_at',
            field=models.DateTimeField(null=True, verbose_name='deadline'),
        ),
        migrations.AddField(
            model_name='publishedruleset',
            name='trial',
            field=models.BooleanField(db_default=False, default=False, help_text='Sales that are published do not take this set, until somebody chooses to use it.', verbose_name='only to try out'),
        ),
        migrations.AddIndex(
            model_name='case',
            index=models.Index(condition=models.Q(('deadline_at__isnull', False)), fields=['deadline_at'], name='cases_by_deadline'),
        ),
        migrations.AddField(
            model_name='casenote',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='by'),
        ),
        migrations.AddField(
            model_name='casenote',
            name='case',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notes', to='flashsale.case', verbose_name='case'),
        ),
        migrations.AddField(
            model_name='listedvalue',
            name='campaign',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='listed_values', to='flashsale.campaign', verbose_name='campaign'),
        ),
        migrations.AddField(
            model_name='listedvalue',
            name='made_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='made by'),
        ),
        migrations.AddField(
            model_name='ringorder',
            name='reservation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='ring_orders', to='flashsale.reservation', verbose_name='reservation'),
        ),
        migrations.AddField(
            model_name='ringorder',
            name='run',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='ring_orders', to='flashsale.reviewrun', verbose_name='review'),
        ),
        migrations.AddConstraint(
            model_name='listedvalue',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('campaign', 'axis', 'digest'), name='listed_value_once'),
        ),
        migrations.AddConstraint(
            model_name='listedvalue',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('made_at'))), name='listed_value_expires_later'),
        ),
        migrations.AddIndex(
            model_name='ringorder',
            index=models.Index(fields=['run', 'group'], name='ring_orders_by_group'),
        ),
        migrations.AddConstraint(
            model_name='ringorder',
            constraint=models.UniqueConstraint(fields=('run', 'reservation'), name='ring_order_once'),
        ),
    ]
