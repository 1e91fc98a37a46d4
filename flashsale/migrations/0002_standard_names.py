"""Tables and constraints get the standard words of docs/glossary.md; no row changes."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q

RENAMED = {
    "Claim": "LimitSlot",
    "Unpaid": "UnpaidHold",
    "Listed": "ListEntry",
    "Remembered": "CrowdBackup",
    "Opened": "CaseView",
    "Rules": "PublishedRuleSet",
    "Holding": "ReservationUnit",
}
VERBS = ("add", "change", "delete", "view")


def rename_permissions(apps, schema_editor, names=RENAMED):
    """Groups keep what they may do: Django renames content types, but not the permissions of a model."""
    permissions = apps.get_model("auth", "Permission").objects.using(schema_editor.connection.alias)
    for old, new in names.items():
        for verb in VERBS:
            wanted = permissions.filter(content_type__app_label="flashsale", codename=f"{verb}_{old.lower()}")
            wanted.update(codename=f"{verb}_{new.lower()}")


def rename_permissions_back(apps, schema_editor):
    """The reverse of `rename_permissions`."""
    rename_permissions(apps, schema_editor, {new: old for old, new in RENAMED.items()})


class Migration(migrations.Migration):

    dependencies = [
        ("flashsale", "0001_books"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        *(migrations.RenameModel(old, new) for old, new in RENAMED.items()),
        migrations.RemoveConstraint("Allocation", "one_line_number_per_sale"),
        migrations.RemoveConstraint("Allocation", "line_number_range"),
        migrations.RenameField("Allocation", "number", "line_id"),
        migrations.RenameField("PublishedRuleSet", "number", "version"),
        migrations.AddConstraint(
            "Allocation", models.UniqueConstraint(fields=["sale", "line_id"], name="one_line_id_per_sale")
        ),
        migrations.AddConstraint(
            "Allocation",
            models.CheckConstraint(condition=Q(line_id__gte=1, line_id__lte=255), name="line_id_range"),
        ),
        migrations.RunPython(rename_permissions, rename_permissions_back),
        migrations.RemoveConstraint("LimitSlot", "one_claim_per_slot"),
        migrations.RemoveConstraint("LimitSlot", "claim_within_limit"),
        migrations.AddConstraint(
            "LimitSlot",
            models.UniqueConstraint(fields=["scope", "axis", "digest", "slot"], name="one_use_of_a_limit_slot"),
        ),
        migrations.AddConstraint(
            "LimitSlot",
            models.CheckConstraint(condition=Q(slot__gte=1, slot__lte=F("limit")), name="limit_slot_within_limit"),
        ),
        migrations.AlterModelOptions(
            name='allocation',
            options={'ordering': ['line_id'], 'verbose_name': 'allocation', 'verbose_name_plural': 'allocations'},
        ),
        migrations.AlterModelOptions(
            name='caseview',
            options={'verbose_name': 'viewed case', 'verbose_name_plural': 'viewed cases'},
        ),
        migrations.AlterModelOptions(
            name='limitslot',
            options={'verbose_name': 'limit slot', 'verbose_name_plural': 'limit slots'},
        ),
        migrations.AlterModelOptions(
            name='publishedruleset',
            options={'ordering': ['-version'], 'verbose_name': 'rule set', 'verbose_name_plural': 'rule sets'},
        ),
        migrations.AlterModelOptions(
            name='reservationunit',
            options={'verbose_name': 'reserved unit', 'verbose_name_plural': 'reserved units'},
        ),
        migrations.AlterField(
            model_name='allocation',
            name='line_id',
            field=models.PositiveSmallIntegerField(editable=False, verbose_name='line id'),
        ),
        migrations.AlterField(
            model_name='caseview',
            name='case',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='views', to='flashsale.case', verbose_name='case'),
        ),
        migrations.AlterField(
            model_name='crowdbackup',
            name='allocation',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='crowd_backup', serialize=False, to='flashsale.allocation'),
        ),
        migrations.AlterField(
            model_name='limitslot',
            name='reservation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='limit_slots', to='flashsale.reservation'),
        ),
        migrations.AlterField(
            model_name='listentry',
            name='allocation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='list_entries', to='flashsale.allocation', verbose_name='allocation'),
        ),
        migrations.AlterField(
            model_name='publishedruleset',
            name='version',
            field=models.PositiveIntegerField(unique=True, verbose_name='version'),
        ),
        migrations.AlterField(
            model_name='reservationunit',
            name='reservation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reservation_units', to='flashsale.reservation'),
        ),
        migrations.AlterField(
            model_name='reservationunit',
            name='unit',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reservation_units', to='flashsale.unit', verbose_name='unit'),
        ),
        migrations.AlterField(
            model_name='unpaidhold',
            name='campaign',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='unpaid_holds', to='flashsale.campaign'),
        ),
        migrations.AlterField(
            model_name='unpaidhold',
            name='reservation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='unpaid_holds', to='flashsale.reservation'),
        ),
    ]
