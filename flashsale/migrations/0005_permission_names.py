"""The labels of permissions follow the names of their models: "Can add limit slot" instead of "Can add claim"."""

from django.db import migrations

LABELS = {
    "limitslot": ("claim", "limit slot"),
    "caseview": ("opened case", "viewed case"),
    "reservationunit": ("holding", "reserved unit"),
}


def rename_labels(apps, schema_editor, labels=LABELS):
    """Django makes permissions with the label of their model, and does not follow when the label changes."""
    permissions = apps.get_model("auth", "Permission").objects.using(schema_editor.connection.alias)
    for model, (old, new) in labels.items():
        for row in permissions.filter(content_type__app_label="flashsale", content_type__model=model):
            row.name = row.name.replace(old, new)
            row.save(update_fields=["name"])


def rename_labels_back(apps, schema_editor):
    """The reverse of `rename_labels`."""
    rename_labels(apps, schema_editor, {model: (new, old) for model, (old, new) in LABELS.items()})


class Migration(migrations.Migration):

    dependencies = [
        ("flashsale", "0004_canon_version"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(rename_labels, rename_labels_back)]
