"""People who decide cases may also put values on the lists of the review. People who read cases may read the lists."""

from typing import Any, ClassVar

from django.contrib.auth.management import create_permissions
from django.db import migrations

# By the permission of before: the new ones that come with it.
WITH = {"view_case": ("view_listedvalue",), "change_case": ("add_listedvalue", "change_listedvalue")}


def give_rights(apps: Any, schema_editor: Any) -> None:
    """Gives the new permissions to holders of the old ones."""
    using = schema_editor.connection.alias
    config = apps.get_app_config("flashsale")
    # Django makes permissions after all migrations. These are needed now.
    config.models_module = True
    create_permissions(config, using=using, verbosity=0, apps=apps)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for old, names in WITH.items():
        new = list(permissions.filter(content_type__app_label="flashsale", codename__in=names))
        holds = {"content_type__app_label": "flashsale", "codename": old}
        for known in permissions.filter(**holds):
            for holder in apps.get_model("auth", "Group").objects.using(using).filter(permissions=known):
                holder.permissions.add(*new)
            for holder in apps.get_model("auth", "User").objects.using(using).filter(user_permissions=known):
                holder.user_permissions.add(*new)


class Migration(migrations.Migration):
    """Adds only. Backwards it changes nothing."""

    dependencies: ClassVar = [("flashsale", "0048_review_desk")]
    operations: ClassVar = [migrations.RunPython(give_rights, migrations.RunPython.noop)]
