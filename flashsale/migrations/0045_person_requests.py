"""Requests of people about their data, restricted orders, keys of digests in the trail, and the rights to export."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        ("flashsale", "0043_roles"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.AlterModelOptions(
            name="contact",
            options={
                "permissions": [("export_contact", "Can export contacts")],
                "verbose_name": "contact",
                "verbose_name_plural": "contacts",
            },
        ),
        migrations.AlterModelOptions(
            name="reservation",
            options={
                "permissions": [("export_reservation", "Can export orders and money")],
                "verbose_name": "reservation",
                "verbose_name_plural": "reservations",
            },
        ),
        migrations.CreateModel(
            name="PersonRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sealed", models.TextField(editable=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("find", "say what is held"),
                            ("export", "hand out a copy"),
                            ("correct", "correct contact data"),
                            ("restrict", "restrict: send and score nothing"),
                            ("erase", "erase the person"),
                        ],
                        max_length=8,
                        verbose_name="kind",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "open"),
                            ("approved", "approved, being carried out"),
                            ("done", "done"),
                            ("refused", "refused"),
                            ("lifted", "restriction lifted"),
                        ],
                        default="open",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                (
                    "proof",
                    models.CharField(
                        choices=[
                            ("code", "a one-time code to the phone or the mailbox"),
                            ("called_back", "called back on the number of the order"),
                            ("wrote", "wrote from the mailbox of the order"),
                            ("document", "showed an identity document"),
                            ("partner", "the partner vouches for the person"),
                        ],
                        max_length=12,
                        verbose_name="identity proven by",
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("wish", "the person asked for it"),
                            ("withdrawn", "the person withdrew the request"),
                            ("not_proven", "the identity was not proven"),
                            ("nothing_held", "nothing is held about the person"),
                            ("money_open", "money or an appeal is not settled"),
                            ("retention", "the law obliges us to keep it"),
                        ],
                        default="wish",
                        max_length=12,
                        verbose_name="reason",
                    ),
                ),
                ("received_at", models.DateTimeField(verbose_name="received")),
                ("due_at", models.DateTimeField(verbose_name="due")),
                ("done_at", models.DateTimeField(null=True, verbose_name="done")),
                ("orders", models.JSONField(default=list, editable=False)),
                (
                    "approved_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="approved by",
                    ),
                ),
                (
                    "done_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="done by",
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="taken by",
                    ),
                ),
            ],
            options={
                "verbose_name": "request about personal data",
                "verbose_name_plural": "requests about personal data",
            },
        ),
        migrations.CreateModel(
            name="Restriction",
            fields=[
                (
                    "reservation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="restriction",
                        serialize=False,
                        to="flashsale.reservation",
                        verbose_name="reservation",
                    ),
                ),
                (
                    "request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="restrictions",
                        to="flashsale.personrequest",
                        verbose_name="request",
                    ),
                ),
            ],
            options={
                "verbose_name": "restricted order",
                "verbose_name_plural": "restricted orders",
            },
        ),
        migrations.CreateModel(
            name="TrailKey",
            fields=[
                ("position", models.BigIntegerField(primary_key=True, serialize=False)),
                ("key", models.BinaryField()),
                ("who", models.CharField(max_length=60)),
                ("made_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "verbose_name": "key of the trail",
                "verbose_name_plural": "keys of the trail",
                "indexes": [
                    models.Index(fields=["who", "made_at"], name="trail_keys_by_staff"),
                    models.Index(fields=["made_at"], name="trail_keys_by_age"),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="personrequest",
            index=models.Index(
                condition=models.Q(("state__in", ["open", "approved"])),
                fields=["due_at"],
                name="person_requests_to_answer",
            ),
        ),
        migrations.AddConstraint(
            model_name="personrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by", None),
                    models.Q(("approved_by", models.F("made_by")), _negated=True),
                    _connector="OR",
                ),
                name="two_people_erase_a_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="personrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "erase"), ("state__in", ["approved", "done"]), _negated=True),
                    ("approved_by__isnull", False),
                    _connector="OR",
                ),
                name="an_erasure_is_approved",
            ),
        ),
        migrations.AddConstraint(
            model_name="personrequest",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("done_at", None), ("state__in", ["open", "approved"])),
                    models.Q(("done_at__isnull", False), ("state__in", ["done", "refused", "lifted"])),
                    _connector="OR",
                ),
                name="person_request_state_with_time",
            ),
        ),
    ]
