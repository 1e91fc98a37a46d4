"""`manage.py doctor`: checks the set-up and prints the command that fixes each problem. Exit 1 if there is one."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flashsale.management import doctor_checks
from flashsale.management.doctor.check import Check


class Command(BaseCommand):
    """Prints a table of all checks. Changes nothing."""

    help = (
        "Check the set-up: what was found, what is expected, the command that fixes it. Exit 1 if there is a problem."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """--json, the number of processes, and an address for a test message."""
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        parser.add_argument(
            "--processes", type=int, default=0, metavar="N",
            help="how many processes of doors and web run in all: is max_connections of PostgreSQL large enough?",
        )  # fmt: skip
        parser.add_argument(
            "--send-mail", default="", metavar="ADDRESS", help="send one message there; without it no mail is sent"
        )

    def handle(self, **options: Any) -> None:
        """Prints one row for each check."""
        checks = doctor_checks.run_checks(processes=options["processes"], send_mail=options["send_mail"])
        ok = all(check.ok for check in checks)
        if options["json"]:
            rows = [asdict(check) | {"fix": "" if check.ok else check.fix} for check in checks]
            self.stdout.write(json.dumps({"ok": ok, "checks": rows}, indent=2))
        else:
            _print_table(checks)
        if not ok:
            sys.exit(1)


def _print_table(checks: list[Check]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table()
    for heading in ("", "check", "found", "expected", "fix"):
        table.add_column(heading)
    for check in checks:
        mark = Text("ok", style="green") if check.ok else Text("problem", style="bold red")
        fix = "" if check.ok else check.fix
        table.add_row(mark, check.name, Text(check.found), Text(check.expected), Text(fix, style="bold"))
    console.print(table)
