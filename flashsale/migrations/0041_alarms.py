"""Alarms that were raised, and the messages about them."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        ('flashsale', '0039_samples_and_checks'),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name='Alarm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(max_length=24, verbose_name='alarm')),
                ('subject', models.CharField(blank=True, default='', max_length=60, verbose_name='about')),
                ('facts', models.JSONField(default=dict, verbose_name='facts')),
                ('noticed_at', models.DateTimeField(verbose_name='since')),
                ('seen_at', models.DateTimeField(verbose_name='last found')),
                ('raised_at', models.DateTimeField(null=True, verbose_name='raised')),
                ('ended_at', models.DateTimeField(null=True, verbose_name='until')),
            ],
            options={
                'verbose_name': 'alarm',
                'verbose_name_plural': 'alarms',
                'ordering': ['-noticed_at', '-pk'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('code', 'subject'), name='one_alarm_at_a_time_about_a_subject'), models.CheckConstraint(condition=models.Q(('ended_at', None), ('raised_at__isnull', False), _connector='OR'), name='an_alarm_that_ended_was_raised')],
            },
        ),
        migrations.CreateModel(
            name='AlarmMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('what', models.CharField(choices=[('raised', 'raised'), ('ended', 'ended')], max_length=8, verbose_name='what')),
                ('way', models.CharField(choices=[('mail', 'e-mail'), ('webhook', 'webhook')], max_length=8, verbose_name='way')),
                ('due_at', models.DateTimeField(null=True, verbose_name='due')),
                ('attempts', models.PositiveSmallIntegerField(default=0, verbose_name='attempts')),
                ('sent_at', models.DateTimeField(null=True, verbose_name='sent')),
                ('failure', models.CharField(blank=True, default='', max_length=200, verbose_name='why it failed')),
                ('alarm', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='messages', to='flashsale.alarm', verbose_name='alarm')),
            ],
            options={
                'verbose_name': 'message about an alarm',
                'verbose_name_plural': 'messages about alarms',
                'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='alarm_messages_due')],
                'constraints': [models.UniqueConstraint(fields=('alarm', 'what', 'way'), name='one_message_per_event_and_way'), models.CheckConstraint(condition=models.Q(('due_at', None), ('sent_at', None), _connector='OR'), name='a_sent_message_is_not_due')],
            },
        ),
    ]
