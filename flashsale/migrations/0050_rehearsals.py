"""Rehearsals: their terms, how they went, and their reports."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        ('flashsale', '0049_list_rights'),
        ('flashsale', '0045_person_requests'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name='Rehearsal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('asked_at', models.DateTimeField(auto_now_add=True, verbose_name='asked for')),
                ('state', models.CharField(choices=[('open', 'not over'), ('ended', 'over')], default='open', editable=False, max_length=5, verbose_name='state')),
                ('terms', models.JSONField(default=dict, verbose_name='terms')),
                ('forced', models.BooleanField(default=False, verbose_name='also near a live sale')),
                ('digest', models.CharField(editable=False, max_length=64, unique=True)),
                ('began_at', models.DateTimeField(editable=False, null=True, verbose_name='begun')),
                ('seen_at', models.DateTimeField(editable=False, null=True)),
                ('stop_at', models.DateTimeField(editable=False, null=True)),
                ('why', models.CharField(blank=True, default='', editable=False, max_length=20, verbose_name='why it ended')),
                ('progress', models.JSONField(default=dict, editable=False)),
                ("processors", models.JSONField(default=dict, editable=False)),
                ('load', models.FloatField(default=0, editable=False)),
                ('figures', models.JSONField(editable=False, null=True)),
                ('report', models.JSONField(editable=False, null=True)),
                ('ended_at', models.DateTimeField(editable=False, null=True, verbose_name='ended')),
                ('asked_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='asked by')),
                ('campaign', models.OneToOneField(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='rehearsal', to='flashsale.campaign')),
                ('sale', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='rehearsals', to='flashsale.sale', verbose_name='sale')),
            ],
            options={
                'verbose_name': 'rehearsal',
                'verbose_name_plural': 'rehearsals',
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('state',), name='one_rehearsal_at_a_time')],
            },
        ),
    ]
