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
from simulation.bench import books, crowd, gate, loss, review, whole
from simulation.bench.cpu import NoProc
from simulation.bench.figures import Figure, as_document, as_table
from simulation.bench.scene import Unready
from simulation.isolated_servers import Own, own_servers, step_inside
from simulation.postgres_server import NoPostgres
from simulation.processes import NotReady
from simulation.redis_server import NoRedis

NAMES = (*crowd.NAMES, "gate", "line", "books", "loss", "review")
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
            "--only", nargs="+", choices=every, default=NAMES, metavar="NAME",
            help=f"{', '.join(every)}; all but {', '.join(LONG)} unless told",
        )  # fmt: skip
        parser.add_argument(
            "--entries", type=int, default=100_000,
            help="how many wait in the line whose memory counts, in the one that is lost, and in the whole sale",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, **options: Any) -> None:
        """Measures and tells."""
        if not 100 <= options["entries"] <= ENTRIES_MAX:
            raise CommandError(f"--entries lies between 100 and {ENTRIES_MAX:,}.")
        step_inside(postgres=True)
        console = Console(stderr=options["json"], highlight=False)
        try:
            with own_servers() as own:
                figures = _measure(own, options["only"], options["entries"], console)
        except (NotReady, NoRedis, NoPostgres, NoProc, Unready) as error:
            raise CommandError(str(error)) from error
        machine = (
            f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
        )
        if options["json"]:
            print(json.dumps({"machine": machine, "figures": as_document(figures)}, indent=1, ensure_ascii=False))
        else:
            console.print(as_table(figures))
            console.print(machine)


def _measure(own: Own, wanted: Sequence[str], entries: int, console: Console) -> list[Figure]:
    parts: list[tuple[set[str], str, Callable[[], list[Figure]]]] = [
        (set(crowd.NAMES), "the doors (two minutes)", lambda: crowd.measure(own, wanted)),
        ({"gate"}, "the gate", gate.decisions),
        ({"line"}, f"a line of {entries:,}", lambda: gate.line(entries)),
        ({"books"}, "the books", lambda: books.commits(own)),
        ({"loss"}, f"a loss of the gate with {entries:,} entries", lambda: loss.rebuilds(own, entries)),
        (
            {"sale"},
            f"a whole sale of {entries:,} people (some minutes)",
            lambda: whole.sale(own, entries, console.print),
        ),
        ({"review"}, f"a review of {review.ORDERS:,} orders", review.scoring),
    ]
    figures = []
    for names, words, measure in parts:
        if names & set(wanted):
            console.print(f"Measuring {words} ...")
            figures += measure()
    return figures
