"""The row of a reservation's payment becomes a row for each attempt. Refunds and notifications get tables.

No row changes here, so that the data of 0021 and the constraints of 0022 have transactions of their own.
"""

import django.db.models.deletion
from django.db import migrations, models

VERBS = ("add", "change", "delete", "view")


def rename_permissions(apps, schema_editor, old="payment", new="paymentattempt", label="payment attempt"):
    """Groups keep what they may do: Django renames content types, but not the permissions of a model."""
    permissions = apps.get_model("auth", "Permission").objects.using(schema_editor.connection.alias)
    for verb in VERBS:
        wanted = permissions.filter(content_type__app_label="flashsale", codename=f"{verb}_{old}")
        wanted.update(codename=f"{verb}_{new}", name=f"Can {verb} {label}")


def rename_permissions_back(apps, schema_editor):
    """The reverse of `rename_permissions`."""
    rename_permissions(apps, schema_editor, "paymentattempt", "payment", "payment")


class Migration(migrations.Migration):

    dependencies = [
        ("flashsale", "0017_channel_entries"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.RemoveConstraint("Payment", "payment_state_with_time"),
        migrations.RemoveConstraint("Payment", "refund_has_a_reference"),
        migrations.RenameModel("Payment", "PaymentAttempt"),
        migrations.RunPython(rename_permissions, rename_permissions_back),
        migrations.AlterModelOptions(
            "PaymentAttempt", {"verbose_name": "payment attempt", "verbose_name_plural": "payment attempts"}
        ),
        migrations.RenameField("PaymentAttempt", "provider", "account"),
        migrations.RenameField("PaymentAttempt", "started_at", "made_at"),
        migrations.AlterField(
            "PaymentAttempt", "account", models.CharField(max_length=20, verbose_name="account")
        ),
        migrations.AlterField(
            "PaymentAttempt",
            "reservation",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="attempts", to="flashsale.reservation"
            ),
        ),
        migrations.AddField(
            "PaymentAttempt", "number", models.PositiveIntegerField(default=1, verbose_name="number"),
            preserve_default=False,
        ),
        migrations.AddField(
            "PaymentAttempt", "currency", models.CharField(default="", max_length=3, verbose_name="currency"),
            preserve_default=False,
        ),
        migrations.AddField(
            "PaymentAttempt", "expires_at", models.DateTimeField(null=True, verbose_name="expires")
        ),
        migrations.AddField(
            "PaymentAttempt",
            "provider_id",
            models.CharField(blank=True, default="", max_length=120, verbose_name="provider's id"),
        ),
        migrations.AddField(
            "PaymentAttempt", "instructions", models.JSONField(null=True, verbose_name="instructions")
        ),
        migrations.AddField(
            "PaymentAttempt",
            "paid",
            models.DecimalField(decimal_places=2, max_digits=20, null=True, verbose_name="paid"),
        ),
        migrations.AddField(
            "PaymentAttempt",
            "fee",
            models.DecimalField(decimal_places=2, max_digits=20, null=True, verbose_name="fee"),
        ),
        migrations.AddField("PaymentAttempt", "turn_at", models.DateTimeField(null=True, verbose_name="turn")),
        migrations.AddField(
            "PaymentAttempt", "next_look_at", models.DateTimeField(null=True, verbose_name="next look")
        ),
        migrations.AddField(
            "DemoCharge",
            "amount",
            models.DecimalField(decimal_places=2, default=0, max_digits=20, verbose_name="amount"),
        ),
        migrations.AddField(
            "DemoCharge", "currency", models.CharField(default="", max_length=3, verbose_name="currency")
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(max_length=80, unique=True, verbose_name="reference")),
                ("amount", models.DecimalField(decimal_places=2, max_digits=20, verbose_name="amount")),
                ("why", models.CharField(max_length=16, verbose_name="reason")),
                ("state", models.CharField(default="due", max_length=16, verbose_name="state")),
                (
                    "provider_id",
                    models.CharField(blank=True, default="", max_length=120, verbose_name="provider's id"),
                ),
                ("detail", models.CharField(blank=True, default="", max_length=200, verbose_name="detail")),
                ("next_look_at", models.DateTimeField(null=True, verbose_name="next look")),
                ("times", models.PositiveIntegerField(default=0, verbose_name="times sent")),
                ("made_at", models.DateTimeField(verbose_name="made")),
                ("settled_at", models.DateTimeField(null=True, verbose_name="settled")),
                (
                    "attempt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refunds",
                        to="flashsale.paymentattempt",
                        verbose_name="attempt",
                    ),
                ),
            ],
            options={"verbose_name": "refund", "verbose_name_plural": "refunds"},
        ),
        migrations.CreateModel(
            name="Inbox",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account", models.CharField(max_length=20, verbose_name="account")),
                ("body", models.BinaryField(verbose_name="body")),
                ("headers", models.JSONField(verbose_name="headers")),
                ("hash", models.CharField(max_length=64, unique=True, verbose_name="hash")),
                ("reference", models.CharField(blank=True, default="", max_length=80, verbose_name="reference")),
                ("seen_at", models.DateTimeField(verbose_name="seen")),
                ("done_at", models.DateTimeField(null=True, verbose_name="done")),
                ("result", models.CharField(blank=True, default="", max_length=200, verbose_name="result")),
            ],
            options={
                "verbose_name": "notification of a provider",
                "verbose_name_plural": "notifications of providers",
            },
        ),
    ]
