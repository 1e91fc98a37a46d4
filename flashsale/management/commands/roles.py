"""Make the groups of the admin, or repair them: scheduler, publisher, reviewer and so on. Safe to repeat.

The migration 0043_roles makes the same groups. This command repairs them after somebody has changed them.
"""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand
from django.db.models import Q

VIEWED_MODELS = (
    "campaign",
    "campaignaxis",
    "channel",
    "partnerkey",
    "sale",
    "offer",
    "allocation",
    "unit",
    "reservation",
    "case",
    "event",
    "notice",
    "paymentattempt",
    "refund",
    "reallocation",
    "record",
    "reviewrun",
    "appeal",
    "publishedruleset",
    "settlement",
    "webhook",
    "delivery",
    "listedvalue",
    "rehearsal",
)
PLANNED_MODELS = ("campaign", "campaignaxis", "channel", "sale", "offer", "allocation")
VIEWER = frozenset(f"view_{model}" for model in VIEWED_MODELS)
PLANNER = (
    VIEWER
    | {f"{verb}_{model}" for model in PLANNED_MODELS for verb in ("add", "change", "delete")}
    | {"add_partnerkey", "change_partnerkey", "add_reallocation", "add_rehearsal"}
    | {"add_webhook", "change_webhook", "delete_webhook"}
)
PUBLISHER = {"publish_sale", "run_sale"}
# A name with a dot is a permission of another app.
ROLES: dict[str, frozenset[str]] = {
    "viewer": VIEWER,
    "planner": PLANNER,
    # As ever, one role for people who plan and publish. Give people "planner" who must not publish.
    "scheduler": PLANNER | PUBLISHER,
    "publisher": VIEWER | PUBLISHER,
    # Only roles that decide about orders or write to buyers may see and correct contacts.
    "reviewer": VIEWER
    | {"add_reviewrun", "add_publishedruleset", "add_case", "change_case", "change_appeal", "change_notice"}
    | {"add_listedvalue", "change_listedvalue", "approve_case", "settle_refund", "view_contact", "change_contact"},
    "approver": VIEWER | {"approve_case", "change_appeal", "view_contact"},
    "finance": VIEWER | {"settle_refund", "export_reservation"},
    "support": VIEWER
    | {"change_notice", "view_contact", "change_contact"}
    | {"view_personrequest", "add_personrequest", "change_personrequest"},
    "auditor": VIEWER | {"auth.view_user", "auth.view_group", "export_reservation", "view_personrequest"},
}


def missing_permissions() -> dict[str, list[str]]:
    """By role: the permissions that its group lacks. A role without a group lacks all."""
    found: dict[str, set[str]] = {name: set() for name in ROLES}
    rows = Group.objects.filter(name__in=ROLES).values_list(
        "name", "permissions__content_type__app_label", "permissions__codename"
    )
    for name, app, codename in rows:
        found[name] |= {codename} if app == "flashsale" else {f"{app}.{codename}"}
    missing = {name: sorted(names - found[name]) for name, names in ROLES.items()}
    return {name: names for name, names in missing.items() if names}


def _permissions(names: frozenset[str]) -> Any:
    wanted = Q()
    for name in names:
        app, _dot, codename = name.rpartition(".")
        wanted |= Q(content_type__app_label=app or "flashsale", codename=codename)
    return Permission.objects.filter(wanted)


class Command(BaseCommand):
    """Gives each group exactly the permissions of ROLES. An admin adds the users to the groups."""

    help = __doc__ or ""

    def handle(self, *_args: Any, **options: Any) -> None:
        """Creates missing groups and corrects the permissions of existing ones."""
        for role, names in ROLES.items():
            group, _ = Group.objects.get_or_create(name=role)
            known = _permissions(names)
            group.permissions.set(known)
            if options["verbosity"] > 1:
                self.stdout.write(f"{role}: {len(known)} permissions")
