"""`manage.py simulate`: how fair the line is to a cohort with resellers, leavers, an outage; exits 1 if it is not."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from simulation import fairness_simulation
from simulation.bench.fixtures import FixtureError
from simulation.isolated_servers import restart_isolated, start_isolated_servers
from simulation.processes import ServerNotReady
from simulation.redis_server import RedisNotFound

SMALL, LARGE = 1_000, 500_000
VERDICTS = {True: "[green]held[/]", False: "[bold red]broken[/]", None: ""}


class Command(BaseCommand):
    """Simulates on a gate of its own and prints a table."""

    help = "Simulate a cohort with resellers, leavers and an outage on a gate of its own. Exit 1 when it is unfair."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many, who, in what form."""
        parser.add_argument("--cohort", type=int, default=100_000, help="how many people (a minute or two for 100,000)")
        parser.add_argument("--seed", type=int, default=26, help="the same seed simulates the same people")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, **options: Any) -> None:
        """Simulates and tells."""
        if not SMALL <= options["cohort"] <= LARGE:
            raise CommandError(f"--cohort lies between {SMALL:,} and {LARGE:,}.")
        restart_isolated(postgres=False)
        console = Console(stderr=options["json"], highlight=False)
        try:
            with start_isolated_servers():
                findings = fairness_simulation.simulate(
                    cohort=options["cohort"], seed=options["seed"], show_progress=console.print
                )
        except (ServerNotReady, RedisNotFound, FixtureError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            print(json.dumps([asdict(finding) for finding in findings], indent=1, ensure_ascii=False))
        else:
            console.print(_table(findings))
        if any(finding.held is False for finding in findings):
            sys.exit(1)


def _table(findings: list[fairness_simulation.Finding]) -> Table:
    table = Table("what", "found", "fair is", "", header_style="bold")
    for finding in findings:
        table.add_row(finding.what, finding.found, finding.expected, VERDICTS[finding.held])
    return table
