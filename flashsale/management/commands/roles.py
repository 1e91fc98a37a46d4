"""Makes the groups of people who use the admin: schedulers, reviewers, viewers. Safe to repeat."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand

VIEWED = (
    "campaign", "campaignaxis", "channel", "partnerkey", "sale", "offer", "allocation", "unit", "reservation", "case",
    "notice", "reallocation", "record", "reviewrun", "appeal", "publishedruleset",
)  # fmt: skip
PLANNED = ("campaign", "campaignaxis", "channel", "sale", "offer", "allocation")
VIEWER = frozenset(f"view_{model}" for model in VIEWED)
ROLES = {
    "viewer": VIEWER,
    "scheduler": VIEWER
    | {f"{verb}_{model}" for model in PLANNED for verb in ("add", "change", "delete")}
    | {"add_partnerkey", "change_partnerkey", "add_reallocation"},
    # Whoever decides about a person's order sees whom it concerns; nobody else does.
    "reviewer": VIEWER
    | {"add_reviewrun", "add_publishedruleset", "add_case", "change_case", "change_appeal", "view_contact"},
}


class Command(BaseCommand):
    """The groups get exactly these permissions; people are put into them in the admin."""

    help = __doc__ or ""

    def handle(self, *_args: Any, **options: Any) -> None:
        """A group that exists is set right."""
        for role, codenames in ROLES.items():
            group, _ = Group.objects.get_or_create(name=role)
            known = Permission.objects.filter(content_type__app_label="flashsale", codename__in=codenames)
            group.permissions.set(known)
            if options["verbosity"] > 1:
                self.stdout.write(f"{role}: {len(known)} permissions")
