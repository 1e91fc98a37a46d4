"""Roles may do what is new in this version: export, answer requests of people about their data, rehearse a sale."""

from typing import Any, ClassVar

from django.contrib.auth.management import create_permissions
from django.db import migrations

NEW = {
    "viewer": ("view_rehearsal",),
    "planner": ("view_rehearsal", "add_rehearsal"),
    "scheduler": ("view_rehearsal", "add_rehearsal"),
    "publisher": ("view_rehearsal",),
    "reviewer": ("view_rehearsal",),
    "approver": ("view_rehearsal",),
    "finance": ("view_rehearsal", "export_reservation"),
    "support": ("view_rehearsal", "view_personrequest", "add_personrequest", "change_personrequest"),
    "auditor": ("view_rehearsal", "export_reservation", "view_personrequest"),
}


def give_rights(apps: Any, schema_editor: Any) -> None:
    """Adds to the groups of these names, as 0043_roles has made them."""
    using = schema_editor.connection.alias
    config = apps.get_app_config("flashsale")
    # Django makes permissions after all migrations. These are needed now.
    config.models_module = True
    create_permissions(config, using=using, verbosity=0, apps=apps)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(using).filter(content_type__app_label="flashsale")
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=NEW):
        group.permissions.add(*permissions.filter(codename__in=NEW[group.name]))


class Migration(migrations.Migration):
    """Adds only. Backwards it changes nothing."""

    dependencies: ClassVar = [("flashsale", "0050_rehearsals")]
    operations: ClassVar = [migrations.RunPython(give_rights, migrations.RunPython.noop)]
