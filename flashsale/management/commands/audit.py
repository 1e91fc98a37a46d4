"""`manage.py audit`: checks whether the promises hold now, on live data."""

import json
import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from flashsale.gate.client import GateDown
from flashsale.life.audit import Finding, Verdict, audit, trail_head
from flashsale.models import Campaign

COLOURS = {Verdict.HELD: "green", Verdict.BROKEN: "bold red", Verdict.NOT_CHECKABLE: "dim"}


class Command(BaseCommand):
    """Compares Redis (the gate) with PostgreSQL (the books). Exit 1 if a promise is broken, 2 if it cannot run.

    It waits up to a minute for a Redis that is busy.
    """

    help = (
        "Check the promises on live data, Redis against PostgreSQL. Waits up to 60 s for a Redis that is busy. "
        "Exit 1 if a promise is broken, 2 if it cannot run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The campaign, the noted head of the audit trail, --json."""
        parser.add_argument("--campaign", help="code of one campaign; the default is all campaigns")
        parser.add_argument(
            "--head", default="", help="POSITION:HASH of the audit trail's end, as an earlier audit printed it"
        )
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Runs the audit and prints the findings."""
        code = options["campaign"]
        if code and not Campaign.objects.filter(code=code).exists():
            known = ", ".join(Campaign.objects.values_list("code", flat=True)) or "none"
            raise CommandError(f"There is no campaign {code!r}. Known: {known}.", returncode=2)
        if options["head"] and not re.fullmatch(r"[1-9][0-9]{0,17}:[0-9a-f]{64}", options["head"]):
            raise CommandError("--head must be POSITION:HASH, as an earlier audit printed it.", returncode=2)
        try:
            findings = audit(campaign=code, head=options["head"])
        except GateDown as error:
            raise CommandError(f"Redis (the gate) does not answer ({error}). Is it running?", returncode=2) from error
        (self._print_json if options["json"] else self._print_table)(findings)
        broken = [_title(finding) for finding in findings if finding.verdict is Verdict.BROKEN]
        if broken:
            raise CommandError(f"Broken: {', '.join(broken)}.", returncode=1)

    def _print_json(self, findings: list[Finding]) -> None:
        rows = [
            {"promise": f.promise, "title": f.title, "verdict": f.verdict, "broken": list(f.broken)} for f in findings
        ]
        *promises, events, trail = rows
        trail["head"] = trail_head()
        del events["promise"], trail["promise"]
        self.stdout.write(json.dumps({"promises": promises, "events": events, "trail": trail}, indent=2))

    def _print_table(self, findings: list[Finding]) -> None:
        table = Table("", "promise", "verdict", "found")
        for finding in findings:
            verdict = f"[{COLOURS[finding.verdict]}]{finding.verdict}[/]"
            table.add_row(str(finding.promise or ""), finding.title, verdict, "\n".join(finding.broken[:20]))
        Console().print(table)
        self.stdout.write(f"The audit trail ends at {trail_head()}")


def _title(finding: Finding) -> str:
    return f"promise {finding.promise}" if finding.promise else f"the {finding.title.lower()}"
