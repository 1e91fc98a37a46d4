"""`manage.py simulate`: measures how fair the line is to a simulated crowd. Exits 1 when a result is unfair."""

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
    """Simulates a crowd on a new Redis and prints a table of findings."""

    help = "Simulate a crowd with resellers, leavers and an outage on a new Redis. Exit 1 when the line is unfair."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Size of the crowd, seed and output format."""
        parser.add_argument(
            "--cohort", type=int, default=100_000, help="number of people (100,000, the default, take a minute or two)"
        )
        parser.add_argument("--seed", type=int, default=26, help="the same seed simulates the same people")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, **options: Any) -> None:
        """Simulates, prints the findings, and exits 1 if one is broken."""
        if not SMALL <= options["cohort"] <= LARGE:
            raise CommandError(f"--cohort must be between {SMALL:,} and {LARGE:,}.")
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
    table = Table("what", "found", "fair value", "", header_style="bold")
    for finding in findings:
        table.add_row(finding.what, finding.found, finding.expected, VERDICTS[finding.held])
    return table
