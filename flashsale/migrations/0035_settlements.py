"""The files of settlements, one for each day, sale and channel."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        ('flashsale', '0036_passes'),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name='SettlementDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('date', models.DateField(verbose_name='day')),
                ('ends_at', models.DateTimeField(verbose_name='ends')),
                ('upto', models.BigIntegerField(editable=False)),
                ('taken', models.BigIntegerField(editable=False)),
                ('made_at', models.DateTimeField(verbose_name='made')),
                ('campaign', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='settlement_days', to='flashsale.campaign', verbose_name='campaign')),
            ],
            options={
                'verbose_name': 'settled day',
                'verbose_name_plural': 'settled days',
            },
        ),
        migrations.CreateModel(
            name='Settlement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('date', models.DateField(verbose_name='day')),
                ('lines', models.PositiveIntegerField(verbose_name='lines')),
                ('totals', models.JSONField(verbose_name='totals')),
                ('csv_hash', models.CharField(editable=False, max_length=64)),
                ('json_hash', models.CharField(editable=False, max_length=64)),
                ('channel', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='settlements', to='flashsale.channel', verbose_name='channel')),
                ('sale', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='settlements', to='flashsale.sale', verbose_name='sale')),
                ('day', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='settlements', to='flashsale.settlementday', verbose_name='day')),
            ],
            options={
                'verbose_name': 'settlement',
                'verbose_name_plural': 'settlements',
            },
        ),
        migrations.CreateModel(
            name='SettlementLine',
            fields=[
                ('event', models.BigIntegerField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField(verbose_name='when')),
                ('type', models.CharField(max_length=24, verbose_name='type')),
                ('line', models.CharField(max_length=40, verbose_name='line')),
                ('reservation', models.UUIDField(db_index=True, verbose_name='reservation')),
                ('partner_reference', models.CharField(blank=True, default='', max_length=200, verbose_name="partner's reference")),
                ('units', models.IntegerField(default=0, verbose_name='units')),
                ('amount', models.BigIntegerField(default=0, verbose_name='amount')),
                ('payment', models.CharField(blank=True, default='', max_length=80, verbose_name='payment')),
                ('method', models.CharField(blank=True, default='', max_length=20, verbose_name='method')),
                ('paid_at', models.DateTimeField(null=True, verbose_name='paid at')),
                ('paid', models.DecimalField(decimal_places=2, default=0, max_digits=20, verbose_name='paid')),
                ('refund', models.CharField(blank=True, default='', max_length=80, verbose_name='refund')),
                ('refunded', models.DecimalField(decimal_places=2, default=0, max_digits=20, verbose_name='refunded')),
                ('fee', models.DecimalField(decimal_places=2, default=0, max_digits=20, verbose_name='fee')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('settlement', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='all_lines', to='flashsale.settlement', verbose_name='settlement')),
            ],
            options={
                'verbose_name': 'line of a settlement',
                'verbose_name_plural': 'lines of settlements',
            },
        ),
        migrations.AddConstraint(
            model_name='settlementday',
            constraint=models.UniqueConstraint(fields=('campaign', 'date'), name='one_settlement_per_day'),
        ),
        migrations.AddConstraint(
            model_name='settlement',
            constraint=models.UniqueConstraint(fields=('channel', 'date', 'sale'), name='one_settlement_per_sale_and_day'),
        ),
        migrations.AddIndex(
            model_name='settlementline',
            index=models.Index(fields=['settlement', 'event'], name='lines_of_a_settlement'),
        ),
    ]
