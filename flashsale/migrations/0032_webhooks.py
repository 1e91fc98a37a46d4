"""Addresses of partners that get their events, and each event on its way to one."""

import uuid
from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [("flashsale", "0035_settlements")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("sealed", models.TextField(editable=False)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("url", models.CharField(max_length=500, verbose_name="address")),
                ("types", models.JSONField(blank=True, default=list, verbose_name="types of events")),
                ("previous_until", models.DateTimeField(null=True, verbose_name="previous secret valid until")),
                (
                    "off",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("gone", "the receiver answered that it is gone (410)"),
                            ("failing", "the receiver took nothing for a day"),
                            ("by_partner", "switched off by the partner"),
                            ("by_staff", "switched off by staff"),
                        ],
                        default="",
                        max_length=12,
                        verbose_name="switched off",
                    ),
                ),
                ("off_at", models.DateTimeField(null=True, verbose_name="switched off at")),
                ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made")),
                ("cursor", models.BigIntegerField(editable=False)),
                ("failures", models.PositiveIntegerField(default=0, verbose_name="failures in a row")),
                ("failing_since", models.DateTimeField(null=True, verbose_name="failing since")),
                ("paused_until", models.DateTimeField(null=True, verbose_name="paused until")),
                ("leased_until", models.DateTimeField(editable=False, null=True)),
                (
                    "channel",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="webhooks",
                        to="flashsale.channel",
                        verbose_name="channel",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook",
                "verbose_name_plural": "webhooks",
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event", models.BigIntegerField(null=True, verbose_name="event")),
                ("type", models.CharField(max_length=24, verbose_name="type")),
                ("subject", models.CharField(max_length=48, verbose_name="about")),
                (
                    "state",
                    models.CharField(
                        choices=[("due", "due"), ("delivered", "delivered"), ("given_up", "given up")],
                        default="due",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("made_at", models.DateTimeField(verbose_name="made")),
                ("due_at", models.DateTimeField(verbose_name="due")),
                ("give_up_at", models.DateTimeField(verbose_name="given up at")),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("tried_at", models.DateTimeField(null=True, verbose_name="last attempt")),
                ("took_ms", models.PositiveIntegerField(null=True, verbose_name="took (ms)")),
                ("status", models.PositiveSmallIntegerField(null=True, verbose_name="HTTP status")),
                (
                    "failure",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("status", "the receiver answered with an error"),
                            ("timeout", "no whole answer in time"),
                            ("no_address", "the name of the host leads nowhere"),
                            ("forbidden_address", "the name of the host leads into a network that is not public"),
                            ("no_connection", "no connection, or no valid certificate"),
                            ("broken", "the connection ended without an answer"),
                            ("event_deleted", "the event is deleted after a month"),
                        ],
                        max_length=20,
                        verbose_name="why it failed",
                    ),
                ),
                ("answer", models.CharField(blank=True, max_length=500, verbose_name="answer")),
                (
                    "webhook",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="flashsale.webhook",
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
            },
        ),
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("off", ""), ("off_at", None)),
                    models.Q(models.Q(("off", ""), _negated=True), ("off_at__isnull", False)),
                    _connector="OR",
                ),
                name="webhook_off_with_time",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["webhook", "made_at"], name="deliveries_of_a_webhook"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state", "due")), fields=["webhook", "due_at", "event"], name="deliveries_due"
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state", "due")),
                fields=["webhook", "subject", "event"],
                name="deliveries_due_of_a_subject",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(fields=("webhook", "event"), name="one_delivery_per_event"),
        ),
    ]
