"""Indexes for the pages of partners and for mending, without those that others cover. A raised rate keeps its pace."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("flashsale", "0011_extra_time_share"),
    ]

    operations = [
        migrations.AddField(
            model_name='sale',
            name='slower_rate',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='sale',
            name='slower_until',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name='allocation',
            name='sale',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='allocations', to='flashsale.sale', verbose_name='sale'),
        ),
        migrations.AlterField(
            model_name='apicall',
            name='channel',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='api_calls', to='flashsale.channel', verbose_name='channel'),
        ),
        migrations.AlterField(
            model_name='notice',
            name='reservation',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='notices', to='flashsale.reservation', verbose_name='reservation'),
        ),
        migrations.AlterField(
            model_name='reservation',
            name='channel',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='reservations', to='flashsale.channel', verbose_name='channel'),
        ),
        migrations.AlterField(
            model_name='reservation',
            name='sale',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='reservations', to='flashsale.sale', verbose_name='sale'),
        ),
        migrations.AlterField(
            model_name='trait',
            name='reservation',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='traits', to='flashsale.reservation'),
        ),
        migrations.AlterField(
            model_name='unit',
            name='allocation',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='units', to='flashsale.allocation', verbose_name='allocation'),
        ),
        migrations.AlterField(
            model_name='unpaidhold',
            name='reservation',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='unpaid_holds', to='flashsale.reservation'),
        ),
        migrations.AddIndex(
            model_name='reservation',
            index=models.Index(fields=['channel', '-made_at'], name='reservations_by_channel'),
        ),
        migrations.AddIndex(
            model_name='reservation',
            index=models.Index(condition=models.Q(('ended_at__isnull', False)), fields=['ended_at'], name='reservations_ended'),
        ),
    ]
