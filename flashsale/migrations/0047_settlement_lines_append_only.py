"""PostgreSQL refuses to change or delete the lines of settlements."""

from typing import ClassVar

from django.db import migrations

import flashsale.models.record


class Migration(migrations.Migration):
    """Adds triggers only. Processes of the release before change lines only as the triggers allow."""

    dependencies: ClassVar = [
        ('flashsale', '0045_person_requests'),
    ]

    operations: ClassVar = [
        migrations.AddConstraint(
            model_name='settlementline',
            constraint=flashsale.models.record.AppendOnly(emptied='partner_reference', name='settlement_lines_append_only'),
        ),
    ]
