"""The secret link by which a person's calendar reads the planned sales."""

from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds a table only, so processes of the release before go on during the change."""

    dependencies: ClassVar = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("flashsale", "0047_settlement_lines_append_only"),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name="CalendarLink",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("drafts", models.BooleanField(default=False, verbose_name="with drafts")),
                ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made")),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="calendar_link",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={"verbose_name": "calendar link", "verbose_name_plural": "calendar links"},
        ),
    ]
