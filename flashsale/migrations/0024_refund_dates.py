"""Refunds know until when they are possible, wait for appeals by a column of their own, and may be sent by hand."""

import django.db.models.deletion
import flashsale.rules.states
from django.conf import settings
from django.db import migrations, models


def wait_for_appeals(apps, schema_editor):
    """Refunds of orders that an appeal may still restore have waited because of the limit slots of their orders."""
    refunds = apps.get_model("flashsale", "Refund").objects.using(schema_editor.connection.alias)
    restorable = refunds.filter(
        state="due", why="cancelled", attempt__reservation__state="cancelled",
        attempt__reservation__limit_slots__isnull=False,
    )  # fmt: skip
    refunds.filter(pk__in=list(restorable.values_list("pk", flat=True).distinct())).update(waits=True)


def forget_transfers(apps, schema_editor):
    """The version before knows no transfers by hand: a person has to look at these refunds again."""
    refunds = apps.get_model("flashsale", "Refund").objects.using(schema_editor.connection.alias)
    refunds.filter(state__in=["impossible", "transferred"]).update(state="failed")


def date_notifications(apps, schema_editor):
    """Notifications that were not read are due at once."""
    inbox = apps.get_model("flashsale", "Inbox").objects.using(schema_editor.connection.alias)
    inbox.filter(done_at=None).update(next_look_at=models.F("seen_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('flashsale', '0023_events'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='refund',
            name='refund_state_with_times',
        ),
        migrations.RemoveIndex(
            model_name='inbox',
            name='inbox_to_read',
        ),
        migrations.AddField(
            model_name='inbox',
            name='next_look_at',
            field=models.DateTimeField(null=True, verbose_name='next look'),
        ),
        migrations.AddField(
            model_name='refund',
            name='confirmed_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='confirmed by'),
        ),
        migrations.AddField(
            model_name='refund',
            name='refund_by',
            field=models.DateTimeField(null=True, verbose_name='possible until'),
        ),
        migrations.AddField(
            model_name='refund',
            name='transferred_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='transferred by'),
        ),
        migrations.AddField(
            model_name='refund',
            name='waits',
            field=models.BooleanField(default=False, verbose_name='waits for the appeal'),
        ),
        migrations.RunPython(wait_for_appeals, forget_transfers),
        migrations.RunPython(date_notifications, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='refund',
            name='state',
            field=models.CharField(choices=[('due', 'due'), ('sent', 'sent'), ('confirmed', 'confirmed'), ('failed', 'failed'), ('impossible', 'the provider cannot send it back'), ('transferred', 'transferred by hand, not confirmed yet'), ('withdrawn', 'withdrawn')], default=flashsale.rules.states.RefundState['DUE'], max_length=16, verbose_name='state'),
        ),
        migrations.AddIndex(
            model_name='inbox',
            index=models.Index(condition=models.Q(('done_at', None)), fields=['next_look_at'], name='notifications_to_read'),
        ),
        migrations.AddConstraint(
            model_name='inbox',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('done_at', None), ('next_look_at__isnull', False)), models.Q(('done_at__isnull', False), ('next_look_at', None)), _connector='OR'), name='notification_with_its_next_look'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('next_look_at__isnull', False), ('settled_at', None), ('state__in', (flashsale.rules.states.RefundState['DUE'], flashsale.rules.states.RefundState['SENT'], flashsale.rules.states.RefundState['FAILED'], flashsale.rules.states.RefundState['IMPOSSIBLE'], flashsale.rules.states.RefundState['TRANSFERRED']))), models.Q(('next_look_at', None), ('settled_at__isnull', False), ('state__in', [flashsale.rules.states.RefundState['CONFIRMED'], flashsale.rules.states.RefundState['WITHDRAWN']])), _connector='OR'), name='refund_state_with_times'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('waits', False), ('state', flashsale.rules.states.RefundState['DUE']), _connector='OR'), name='only_a_due_refund_waits'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(('confirmed_by', None), models.Q(('state', flashsale.rules.states.RefundState['CONFIRMED']), ('transferred_by__isnull', False), models.Q(('confirmed_by', models.F('transferred_by')), _negated=True)), _connector='OR'), name='two_people_transfer'),
        ),
        migrations.AddConstraint(
            model_name='refund',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', flashsale.rules.states.RefundState['TRANSFERRED']), _negated=True), models.Q(('provider_id__gt', ''), ('transferred_by__isnull', False)), _connector='OR'), name='a_transfer_with_its_person'),
        ),
    ]
