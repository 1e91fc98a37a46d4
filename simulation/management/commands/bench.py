"""`manage.py bench`: what a request costs, as ratios to controls in the same run, on servers of its own."""

import json
import os
import platform
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from flashsale.models.sale import ENTRIES_MAX
from simulation.bench import books, door_budgets, gate, loss, review, whole_sale
from simulation.bench.cpu import CpuTimeUnavailable
from simulation.bench.figures import Figure, as_document, as_table
from simulation.bench.fixtures import FixtureError
from simulation.isolated_servers import IsolatedServers, restart_isolated, start_isolated_servers
from simulation.postgres_server import PostgresNotFound
from simulation.processes import ServerNotReady
from simulation.redis_server import RedisNotFound

NAMES = (*door_budgets.NAMES, "gate", "line", "books", "loss", "review")
# Minutes long, so only where it is asked for.
LONG = ("sale",)


class Command(BaseCommand):
    """Starts Redis, PostgreSQL and granian, measures, compares with the budgets."""

    help = "Measure what requests cost, beside controls in the same run and against the budgets."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to measure, how large, in what form."""
        every = (*NAMES, *LONG)
        parser.add_argument(
            "--only",
            nargs="+",
            choices=every,
            default=NAMES,
            metavar="NAME",
            help=f"{', '.join(every)}; all but {', '.join(LONG)} unless told",
        )
        parser.add_argument(
            "--entries",
            type=int,
            default=100_000,
            help="how many wait in the line whose memory counts, in the one that is lost, and in the whole sale",
        )
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, **options: Any) -> None:
        """Measures and tells."""
        if not 100 <= options["entries"] <= ENTRIES_MAX:
            raise CommandError(f"--entries lies between 100 and {ENTRIES_MAX:,}.")
        restart_isolated(postgres=True)
        console = Console(stderr=options["json"], highlight=False)
        try:
            with start_isolated_servers() as servers:
                figures = _measure(servers, options["only"], options["entries"], console)
        except (ServerNotReady, RedisNotFound, PostgresNotFound, CpuTimeUnavailable, FixtureError) as error:
            raise CommandError(str(error)) from error
        machine = (
            f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
        )
        if options["json"]:
            print(json.dumps({"machine": machine, "figures": as_document(figures)}, indent=1, ensure_ascii=False))
        else:
            console.print(as_table(figures))
            console.print(machine)


def _measure(servers: IsolatedServers, wanted: Sequence[str], entries: int, console: Console) -> list[Figure]:
    parts: list[tuple[set[str], str, Callable[[], list[Figure]]]] = [
        (set(door_budgets.NAMES), "the doors (two minutes)", lambda: door_budgets.measure(servers, wanted)),
        ({"gate"}, "the gate", gate.decisions),
        ({"line"}, f"a line of {entries:,}", lambda: gate.line(entries)),
        ({"books"}, "the books", lambda: books.commits(servers)),
        ({"loss"}, f"a loss of the gate with {entries:,} entries", lambda: loss.rebuilds(servers, entries)),
        (
            {"sale"},
            f"a whole sale of {entries:,} people (some minutes)",
            lambda: whole_sale.sale(servers, entries, console.print),
        ),
        ({"review"}, f"a review of {review.ORDERS:,} orders", review.scoring),
    ]
    figures = []
    for names, words, measure in parts:
        if names & set(wanted):
            console.print(f"Measuring {words} ...")
            figures += measure()
    return figures
