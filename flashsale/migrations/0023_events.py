"""A table of events. What exists already gets one event each, which says how it stands now."""

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone

CHUNK = 1000
# The events of reservations and sales by state, in the words of this version.
CASES = {"cancelled", "dismissed"}
SALES = {"published": "published", "paused": "paused", "closed": "closed", "called_off": "called_off"}


def _link(to, *, null=True):
    return models.ForeignKey(
        db_constraint=False, db_index=False, null=null, on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="events", to=f"flashsale.{to}", verbose_name=to,
    )  # fmt: skip


def forwards(apps, schema_editor):
    """Writes how sales, and the reservations of campaigns that are not erased, stand now."""
    using, now = schema_editor.connection.alias, timezone.now()
    models = {name: apps.get_model("flashsale", name).objects.using(using) for name in ("Sale", "Reservation", "Event")}
    make = apps.get_model("flashsale", "Event")
    events = [
        make(type=f"sale.{SALES[state]}", sale_id=id_, sequence=1, at=now, data={})
        for id_, state in models["Sale"].exclude(state="draft").order_by("pk").values_list("pk", "state")
    ]
    rows = models["Reservation"].filter(sale__campaign__erased_at=None).exclude(state="abandoned").order_by("made_at")
    rows = rows.select_related("case__appeal").prefetch_related("attempts__refunds")
    for row in rows.iterator(chunk_size=CHUNK):
        whose = {
            "sale_id": row.sale_id, "channel_id": row.channel_id, "line_id": row.allocation_id,
            "reservation_id": row.pk, "at": now,
        }  # fmt: skip
        told = enumerate(_as_it_stands(row), 1)
        events += [make(type=type_, data=data, sequence=number, **whose) for number, (type_, data) in told]
        if len(events) > CHUNK:
            models["Event"].bulk_create(events)
            events = []
    models["Event"].bulk_create(events)


def _as_it_stands(row):
    for attempt in sorted(row.attempts.all(), key=lambda one: one.number):
        state = "started" if attempt.state == "asked" else attempt.state
        yield (
            f"payment.{state}",
            {"payment": attempt.reference, "method": attempt.method, "amount": attempt.amount},
        )
        for refund in sorted(attempt.refunds.all(), key=lambda one: one.pk):
            data = {"refund": refund.reference, "why": refund.why, "amount": int(refund.amount)}
            yield f"refund.{refund.state}", data
    yield f"reservation.{row.state}", {"quantity": row.quantity, "amount": row.amount}
    case = getattr(row, "case", None)
    if case is None:
        return
    yield ("case.decided", {"decision": case.state}) if case.state in CASES else ("case.opened", {})
    appeal = getattr(case, "appeal", None)
    if appeal and appeal.state == "open":
        yield "appeal.filed", {}
    elif appeal:
        yield "appeal.decided", {"decision": appeal.state, "remedy": appeal.remedy}


class Migration(migrations.Migration):

    dependencies = [("flashsale", "0022_rules_of_attempts")]

    operations = [
        migrations.AddField(
            model_name='reservation',
            name='events_deleted',
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('type', models.CharField(max_length=24, verbose_name='type')),
                ('sequence', models.PositiveIntegerField(verbose_name='sequence')),
                ('at', models.DateTimeField(verbose_name='when')),
                ('data', models.JSONField(verbose_name='data')),
                ('channel', _link('channel')),
                ('line', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='flashsale.allocation', verbose_name='line')),
                ('reservation', _link('reservation')),
                ('sale', _link('sale', null=False)),
                ('unit', _link('unit')),
            ],
            options={
                'verbose_name': 'event',
                'verbose_name_plural': 'events',
                'indexes': [models.Index(fields=['channel', 'id'], name='events_of_a_channel')],
                'constraints': [
                    models.UniqueConstraint(condition=models.Q(('reservation__isnull', False)), fields=('reservation', 'sequence'), name='one_event_per_sequence_of_a_reservation'),
                    models.UniqueConstraint(condition=models.Q(('unit__isnull', False)), fields=('unit', 'sequence'), name='one_event_per_version_of_a_unit'),
                    models.UniqueConstraint(condition=models.Q(('reservation', None), ('unit', None)), fields=('sale', 'sequence'), name='one_event_per_sequence_of_a_sale'),
                    models.CheckConstraint(condition=models.Q(('reservation', None), ('unit', None), _connector='OR'), name='event_of_one_object'),
                ],
            },
        ),
        migrations.RunPython(forwards, migrations.RunPython.noop),
    ]
