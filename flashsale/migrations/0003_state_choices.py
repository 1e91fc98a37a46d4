"""States carry words, so that the admin's filters show them, and four help texts change. No table changes."""

import django.core.validators
import django.db.models.deletion
import flashsale.rules.states
from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('flashsale', '0002_standard_names'),
    ]

    operations = [
        migrations.AlterField(
            model_name='allocation',
            name='listed_only',
            field=models.BooleanField(default=False, help_text='Other people cannot enter this line.', verbose_name='only for people on its list'),
        ),
        migrations.AlterField(
            model_name='allocation',
            name='opens_at',
            field=models.DateTimeField(blank=True, help_text="Empty: with the sale. The draw is the sale's in both cases.", null=True, verbose_name='opens later'),
        ),
        migrations.AlterField(
            model_name='allocation',
            name='successor',
            field=models.ForeignKey(blank=True, help_text='The line of this sale that gets the unclaimed units.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='predecessors', to='flashsale.allocation', verbose_name='rolls over to'),
        ),
        migrations.AlterField(
            model_name='appeal',
            name='remedy',
            field=models.CharField(blank=True, choices=[('restored', 'order restored'), ('priority', 'first unit of the next sale')], max_length=10, verbose_name='remedy'),
        ),
        migrations.AlterField(
            model_name='appeal',
            name='state',
            field=models.CharField(choices=[('open', 'open'), ('upheld', 'upheld'), ('overturned', 'overturned')], default=flashsale.rules.states.AppealState['OPEN'], max_length=10, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='case',
            name='state',
            field=models.CharField(choices=[('open', 'open'), ('proposed', 'proposed'), ('approved', 'approved, can be undone'), ('cancelled', 'cancelled'), ('dismissed', 'dismissed')], default=flashsale.rules.states.CaseState['OPEN'], max_length=10, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='democharge',
            name='state',
            field=models.CharField(choices=[('pending', 'pending'), ('paid', 'paid'), ('declined', 'declined')], max_length=8, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='notice',
            name='state',
            field=models.CharField(choices=[('due', 'due'), ('sent', 'sent'), ('failed', 'failed')], default=flashsale.rules.states.NoticeState['DUE'], max_length=8, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='payment',
            name='state',
            field=models.CharField(choices=[('started', 'payment started'), ('paid', 'paid'), ('declined', 'declined'), ('refund_due', 'refund due'), ('refunded', 'refunded'), ('refund_failed', 'refund failed')], default=flashsale.rules.states.PaymentState['STARTED'], max_length=16, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='reservation',
            name='state',
            field=models.CharField(choices=[('held', 'held'), ('confirmed', 'confirmed'), ('expired', 'expired'), ('released', 'given back'), ('cancelled', 'cancelled'), ('abandoned', 'never came about')], default=flashsale.rules.states.ReservationState['HELD'], max_length=10, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='sale',
            name='overbooking',
            field=models.DecimalField(decimal_places=2, default=Decimal('1.00'), help_text='People called for each free unit. 1.00: every person who is called and comes in time gets one.', max_digits=3, validators=[django.core.validators.MinValueValidator(Decimal('1')), django.core.validators.MaxValueValidator(Decimal('5'))], verbose_name='overbooking'),
        ),
        migrations.AlterField(
            model_name='sale',
            name='state',
            field=models.CharField(choices=[('draft', 'draft'), ('published', 'published'), ('paused', 'paused'), ('closed', 'closed'), ('called_off', 'called off')], default=flashsale.rules.states.SaleState['DRAFT'], editable=False, max_length=12, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='unit',
            name='state',
            field=models.CharField(choices=[('free', 'free'), ('held', 'held'), ('sold', 'sold'), ('returned', 'returned')], default=flashsale.rules.states.UnitState['FREE'], max_length=10, verbose_name='state'),
        ),
    ]
