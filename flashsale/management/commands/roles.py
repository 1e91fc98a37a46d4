"""Make the groups of the admin: scheduler, reviewer, viewer. Safe to repeat."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand

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
    "rehearsal",
    "record",
    "reviewrun",
    "appeal",
    "publishedruleset",
    "settlement",
    "webhook",
    "delivery",
)
PLANNED_MODELS = ("campaign", "campaignaxis", "channel", "sale", "offer", "allocation")
VIEWER = frozenset(f"view_{model}" for model in VIEWED_MODELS)
ROLES = {
    "viewer": VIEWER,
    "scheduler": VIEWER
    | {f"{verb}_{model}" for model in PLANNED_MODELS for verb in ("add", "change", "delete")}
    | {"add_partnerkey", "change_partnerkey", "add_reallocation", "add_rehearsal"}
    | {"add_webhook", "change_webhook", "delete_webhook"},
    # Only reviewers may see and correct contacts, because they decide about these people's orders and write to them.
    "reviewer": VIEWER
    | {"add_reviewrun", "add_publishedruleset", "add_case", "change_case", "change_appeal", "change_notice"}
    | {"view_contact", "change_contact"},
}


class Command(BaseCommand):
    """Gives each group exactly the permissions of ROLES. An admin adds the users to the groups."""

    help = __doc__ or ""

    def handle(self, *_args: Any, **options: Any) -> None:
        """Creates missing groups and corrects the permissions of existing ones."""
        for role, codenames in ROLES.items():
            group, _ = Group.objects.get_or_create(name=role)
            known = Permission.objects.filter(content_type__app_label="flashsale", codename__in=codenames)
            group.permissions.set(known)
            if options["verbosity"] > 1:
                self.stdout.write(f"{role}: {len(known)} permissions")
