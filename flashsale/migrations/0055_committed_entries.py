"""Draw version 2: sales may commit to their entries and wait for public randomness."""

from typing import ClassVar

import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        ('flashsale', '0051_rights_of_roles'),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name='Entries',
            fields=[
                ('allocation', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='entries', serialize=False, to='flashsale.allocation')),
                ('cohort', models.PositiveIntegerField()),
                ('root', models.CharField(max_length=64)),
                ('entered', models.PositiveIntegerField()),
                ('gone', models.PositiveIntegerField()),
                ('never_given', models.PositiveIntegerField()),
                ('heads', models.BinaryField(default=b'')),
            ],
        ),
        migrations.CreateModel(
            name='EntriesTile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('leaves', models.BinaryField()),
                ('states', models.BinaryField()),
            ],
        ),
        migrations.AddField(
            model_name='sale',
            name='beacon',
            field=models.CharField(blank=True, choices=[('drand', 'a round of drand (quicknet) that comes after the freeze')], db_default='', default='', help_text='Needs version 2 of the draw. Then not even the operator, who knows the secret, can choose the order. The numbers come about 30 s after the freeze, and the line waits if the round is late. Shown on the page.', max_length=8, verbose_name='public randomness'),
        ),
        migrations.AddField(
            model_name='sale',
            name='beacon_chain',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name='sale',
            name='beacon_round',
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='sale',
            name='beacon_signature',
            field=models.BinaryField(null=True),
        ),
        migrations.AddField(
            model_name='sale',
            name='draw_version',
            field=models.PositiveSmallIntegerField(blank=True, choices=[(1, '1: from the secret alone'), (2, '2: from the secret and the entries, which are published first')], db_default=1, default=1, help_text='Version 2 shows that no entry was added or taken out after the freeze. Shown on the page.', verbose_name='draw'),
        ),
        migrations.AddField(
            model_name='sale',
            name='entries_frozen_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='entries frozen'),
        ),
        migrations.AddField(
            model_name='sale',
            name='freeze_s',
            field=models.PositiveIntegerField(blank=True, help_text='Needs version 2 of the draw. Empty: 60 s with public randomness, else 0. Who comes later stands behind.', null=True, validators=[django.core.validators.MaxValueValidator(86400)], verbose_name='lines freeze before the opening (s)'),
        ),
        migrations.AddConstraint(
            model_name='sale',
            constraint=models.CheckConstraint(condition=models.Q(('draw_version__in', [1, 2])), name='draw_version_known'),
        ),
        migrations.AddConstraint(
            model_name='sale',
            constraint=models.CheckConstraint(condition=models.Q(('draw_version', 2), models.Q(('beacon', ''), ('entries_frozen_at', None), ('freeze_s', None)), _connector='OR'), name='only_version_2_commits'),
        ),
        migrations.AddConstraint(
            model_name='sale',
            constraint=models.CheckConstraint(condition=models.Q(('frozen_at', None), ('draw_version', 1), ('entries_frozen_at__isnull', False), _connector='OR'), name='entries_before_numbers'),
        ),
        migrations.AddConstraint(
            model_name='sale',
            constraint=models.CheckConstraint(condition=models.Q(('frozen_at', None), ('beacon_chain', ''), ('beacon_signature__isnull', False), _connector='OR'), name='beacon_before_numbers'),
        ),
        migrations.AddConstraint(
            model_name='sale',
            constraint=models.CheckConstraint(condition=models.Q(('state', 'draft'), models.Q(('beacon', ''), ('beacon_chain', '')), models.Q(models.Q(('beacon', ''), _negated=True), models.Q(('beacon_chain', ''), _negated=True)), _connector='OR'), name='beacon_has_its_chain'),
        ),
        migrations.AddConstraint(
            model_name='entries',
            constraint=models.CheckConstraint(condition=models.Q(('cohort', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('entered'), '+', models.F('gone')), '+', models.F('never_given')))), name='entries_have_one_state_each'),
        ),
        migrations.AddField(
            model_name='entriestile',
            name='entries',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='tiles', to='flashsale.entries'),
        ),
        migrations.AddConstraint(
            model_name='entriestile',
            constraint=models.UniqueConstraint(fields=('entries', 'number'), name='one_tile_per_number'),
        ),
    ]
