"""Remove the second factor of a member of staff who has lost it, when no other superuser can do it in the admin."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from flashsale.life.staff_accounts import reset_second_factor


class Command(BaseCommand):
    """Removes apps, passkeys and recovery codes of a user, ends the sessions, and notes it in the audit trail."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The name of the user."""
        parser.add_argument("username", help="the user's name at the log-in")

    def handle(self, *_args: Any, username: str, **_options: Any) -> None:
        """Removes the second factor. Safe to repeat. Raises CommandError for an unknown user."""
        user = User.objects.filter(username=username, is_staff=True).first()
        if user is None:
            names = ", ".join(
                User.objects.filter(is_staff=True).values_list("username", flat=True).order_by("username")
            )
            raise CommandError(f"There is no member of staff with the name {username!r}. There are: {names or 'none'}.")
        reset_second_factor(user=user, by=None)
        self.stdout.write(f"{username} has no second factor any more, and adds a new one at the next log-in.")
