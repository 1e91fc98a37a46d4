"""`manage.py doctor`: checks the set-up and prints the command that fixes each problem. Exit 1 if there is one."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flashsale.management import doctor_checks


class Command(BaseCommand):
    """Prints a table of all checks. Changes nothing."""

    help = (
        "Check the set-up: what was found, what is expected, the command that fixes it. Exit 1 if there is a problem."
    )
    requires_system_checks = []

    def handle(self, **_: Any) -> None:
        """Prints one row for each check."""
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        table = Table()
        for heading in ("", "check", "found", "expected", "fix"):
            table.add_column(heading)
        checks = doctor_checks.run_checks()
        for check in checks:
            mark = Text("ok", style="green") if check.ok else Text("problem", style="bold red")
            fix = "" if check.ok else check.fix
            table.add_row(mark, check.name, Text(check.found), Text(check.expected), Text(fix, style="bold"))
        console.print(table)
        if not all(check.ok for check in checks):
            sys.exit(1)
