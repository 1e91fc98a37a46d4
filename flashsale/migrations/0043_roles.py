"""Roles: the groups of the admin. People who could publish, approve or settle refunds until now, can go on.

Until this version, the permission to change a sale also published it and ran it, and the permission to change a case
also approved it and settled refunds. These are permissions of their own now. Every group and every user that has an old
permission gets the new ones, whatever the name of the group is. Roles that exist keep what they have.
"""

from typing import Any, ClassVar

from django.contrib.auth.management import create_permissions
from django.db import migrations

VIEWED = (
    "campaign", "campaignaxis", "channel", "partnerkey", "sale", "offer", "allocation", "unit", "reservation", "case",
    "event", "notice", "paymentattempt", "refund", "reallocation", "record", "reviewrun", "appeal", "publishedruleset",
    "settlement", "webhook", "delivery",
)
PLANNED = ("campaign", "campaignaxis", "channel", "sale", "offer", "allocation")
VIEWER = {f"view_{model}" for model in VIEWED}
PLANNER = {
    *VIEWER, *(f"{verb}_{model}" for model in PLANNED for verb in ("add", "change", "delete")), "add_partnerkey",
    "change_partnerkey", "add_reallocation", "add_webhook", "change_webhook", "delete_webhook",
}
ROLES = {
    "viewer": VIEWER,
    "planner": PLANNER,
    "scheduler": PLANNER | {"publish_sale", "run_sale"},
    "publisher": VIEWER | {"publish_sale", "run_sale"},
    "reviewer": VIEWER | {
        "add_reviewrun", "add_publishedruleset", "add_case", "change_case", "change_appeal", "change_notice",
        "approve_case", "settle_refund", "view_contact", "change_contact",
    },
    "approver": VIEWER | {"approve_case", "change_appeal", "view_contact"},
    "finance": VIEWER | {"settle_refund"},
    "support": VIEWER | {"change_notice", "view_contact", "change_contact"},
    "auditor": VIEWER | {"auth.view_user", "auth.view_group"},
}
# By the permission of before: what it allowed as well.
PARTS = {"change_sale": ("publish_sale", "run_sale"), "change_case": ("approve_case", "settle_refund")}


def make_roles(apps: Any, schema_editor: Any) -> None:
    """Gives the new permissions to holders of the old ones, and makes the groups that are missing."""
    using = schema_editor.connection.alias
    # Django makes permissions after all migrations. These are needed now.
    for label in ("flashsale", "auth"):
        config = apps.get_app_config(label)
        config.models_module = True
        create_permissions(config, using=using, verbosity=0, apps=apps)
        config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    known = {
        (name if app == "flashsale" else f"{app}.{name}"): pk
        for pk, app, name in permissions.values_list("pk", "content_type__app_label", "codename")
    }
    for old, new in PARTS.items():
        for holder in groups.filter(permissions=known[old]):
            holder.permissions.add(*(known[name] for name in new))
        for holder in apps.get_model("auth", "User").objects.using(using).filter(user_permissions=known[old]):
            holder.user_permissions.add(*(known[name] for name in new))
    for name, names in ROLES.items():
        group, made = groups.get_or_create(name=name)
        if made:
            group.permissions.add(*(known[one] for one in names if one in known))


class Migration(migrations.Migration):
    """Adds only. Backwards it changes nothing: groups may have users by then."""

    dependencies: ClassVar = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("flashsale", "0042_staff"),
    ]
    operations: ClassVar = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
