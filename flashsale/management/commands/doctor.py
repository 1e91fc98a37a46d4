"""`manage.py doctor`: what is wrong with this machine's set-up, and the command that helps; exits 1 if anything is."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flashsale.management import doctor_checks


class Command(BaseCommand):
    """Looks and tells; changes nothing."""

    help = "Check the set-up: what was found, what is expected, the command that fixes it."
    requires_system_checks = []

    def handle(self, **_: Any) -> None:
        """A row for each look."""
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        table = Table()
        for heading in ("", "what", "found", "expected", "what helps"):
            table.add_column(heading)
        found = doctor_checks.look()
        for check in found:
            sign = Text("well", style="green") if check.well else Text("ill", style="bold red")
            fix = "" if check.well else check.fix
            table.add_row(sign, check.what, Text(check.found), Text(check.expected), Text(fix, style="bold"))
        console.print(table)
        if not all(check.well for check in found):
            sys.exit(1)
