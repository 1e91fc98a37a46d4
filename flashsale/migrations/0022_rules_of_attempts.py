"""The constraints of attempts, refunds and notifications."""

import flashsale.rules.states
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("flashsale", "0021_attempts_from_payments")]

    operations = [
        migrations.RemoveField("PaymentAttempt", "refund_reference"),
        migrations.AddField(
            model_name='campaign',
            name='payment_accounts',
            field=models.CharField(blank=True, default='', help_text='Names of payment accounts between commas, the first choice first. Empty: those of the server.', max_length=200, verbose_name='payment accounts'),
        ),
        migrations.AddField(
            model_name='channel',
            name='payment_accounts',
            field=models.CharField(blank=True, default='', help_text='As for the campaign, for this channel only. "partner": the partner charges its buyers and sends refunds.', max_length=200, verbose_name='payment accounts'),
        ),
        migrations.AlterField(
            model_name='paymentattempt',
            name='state',
            field=models.CharField(choices=[('asked', 'asked'), ('waiting', 'waiting for the money'), ('review', 'checked by the provider'), ('paid', 'paid'), ('late', 'the money came too late'), ('mismatch', 'another amount came'), ('reversed', 'the provider took the money back'), ('failed', 'failed'), ('expired', 'expired'), ('closed', 'closed')], default=flashsale.rules.states.AttemptState['ASKED'], max_length=16, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='refund',
            name='state',
            field=models.CharField(choices=[('due', 'due'), ('sent', 'sent'), ('confirmed', 'confirmed'), ('failed', 'failed'), ('withdrawn', 'withdrawn')], default=flashsale.rules.states.RefundState['DUE'], max_length=16, verbose_name='state'),
        ),
        migrations.AlterField(
            model_name='refund',
            name='why',
            field=models.CharField(choices=[('late', 'the money came too late'), ('cancelled', 'cancelled'), ('overpaid', 'too much was paid'), ('mismatch', 'another amount came')], max_length=16, verbose_name='reason'),
        ),
        migrations.AddIndex(
            model_name='inbox',
            index=models.Index(condition=models.Q(('done_at', None)), fields=['seen_at'], name='inbox_to_read'),
        ),
        migrations.AddIndex(
            model_name='paymentattempt',
            index=models.Index(condition=models.Q(('next_look_at__isnull', False)), fields=['next_look_at'], name='attempts_to_look_at'),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(condition=models.Q(('next_look_at__isnull', False)), fields=['next_look_at'], name='refunds_to_look_at'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.UniqueConstraint(fields=('reservation', 'number'), name='one_attempt_per_number'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', (flashsale.rules.states.AttemptState['ASKED'], flashsale.rules.states.AttemptState['WAITING'], flashsale.rules.states.AttemptState['REVIEW']))), fields=('reservation',), name='one_open_attempt_per_reservation'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.UniqueConstraint(condition=models.Q(('state', flashsale.rules.states.AttemptState['PAID'])), fields=('reservation',), name='one_paid_attempt_per_reservation'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.UniqueConstraint(condition=models.Q(('account', 'partner'), models.Q(('state__in', (flashsale.rules.states.AttemptState['FAILED'], flashsale.rules.states.AttemptState['EXPIRED'], flashsale.rules.states.AttemptState['CLOSED'])), _negated=True)), fields=('account', 'provider_id'), name='one_order_per_partner_reference'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.CheckConstraint(condition=models.Q(('reference__regex', '^([A-Za-z0-9-]{1,32}|[0-9a-f-]{36}/[0-9]+)$')), name='reference_fits_every_provider'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('next_look_at__isnull', False), ('paid', None), ('settled_at', None), ('state__in', (flashsale.rules.states.AttemptState['ASKED'], flashsale.rules.states.AttemptState['WAITING'], flashsale.rules.states.AttemptState['REVIEW']))), models.Q(('paid__isnull', False), ('settled_at__isnull', False), ('state', flashsale.rules.states.AttemptState['MISMATCH']), ('next_look_at__isnull', False)), models.Q(('paid__isnull', False), ('settled_at__isnull', False), ('state__in', [flashsale.rules.states.AttemptState['PAID'], flashsale.rules.states.AttemptState['LATE'], flashsale.rules.states.AttemptState['REVERSED']])), models.Q(('paid', None), ('settled_at__isnull', False), ('state__in', (flashsale.rules.states.AttemptState['FAILED'], flashsale.rules.states.AttemptState['EXPIRED'], flashsale.rules.states.AttemptState['CLOSED']))), _connector='OR'), name='attempt_state_with_times'),
        ),
        migrations.AddConstraint(
            model_name='paymentattempt',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', flashsale.rules.states.AttemptState['PAID']), _negated=True), ('paid__gte', models.F('amount')), _connector='OR'), name='paid_in_full'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.UniqueConstraint(condition=models.Q(('state', flashsale.rules.states.RefundState['WITHDRAWN']), _negated=True), fields=('attempt', 'why'), name='one_refund_per_attempt_and_reason'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0)), name='refund_of_something'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('next_look_at__isnull', False), ('settled_at', None), ('state__in', [flashsale.rules.states.RefundState['DUE'], flashsale.rules.states.RefundState['SENT'], flashsale.rules.states.RefundState['FAILED']])), models.Q(('next_look_at', None), ('settled_at__isnull', False), ('state__in', [flashsale.rules.states.RefundState['CONFIRMED'], flashsale.rules.states.RefundState['WITHDRAWN']])), _connector='OR'), name='refund_state_with_times'),
        ),
        migrations.AddIndex(
            model_name='reservation',
            index=models.Index(condition=models.Q(('state', 'confirmed')), fields=['sale', 'confirmed_at'], name='orders_by_time'),
        ),
    ]
