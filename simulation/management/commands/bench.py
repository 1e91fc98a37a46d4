"""`manage.py bench`: measures what a request costs, relative to control measurements of the same run."""

import json
import os
import platform
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from flashsale.models.sale import ENTRIES_MAX
from flashsale.rules.capacity import UnitCosts
from simulation.bench import (
    books,
    confirm,
    door_budgets,
    entering,
    gate,
    idle,
    loss,
    partner_sale,
    polls,
    reserve_rates,
    review,
    root,
    whole_sale,
)
from simulation.bench.cpu import CpuTimeUnavailable
from simulation.bench.figures import Figure, as_document, as_table, unit_costs
from simulation.bench.fixtures import FixtureError
from simulation.isolated_servers import IsolatedServers, restart_isolated, start_isolated_servers
from simulation.postgres_server import PostgresNotFound
from simulation.processes import ServerNotReady
from simulation.redis_server import RedisNotFound

NAMES = (*door_budgets.NAMES, "gate", "line", "books", "loss", "review")
# Takes minutes, so it runs only when --only names it.
LONG = ("sale", "partner", "entering", "root", "reserve", "idle", "polls", "confirm")
# What gives all unit costs of `manage.py capacity`.
COSTING = ("sale", "line", "books")
PEOPLE_PER_UNIT = 5
# A provider that takes longer counts as away (life/ask_provider.py).
GATEWAY_MS_MAX = 9_000
LINES_MAX = 50
SALES_MAX = 5_000


class Command(BaseCommand):
    """Starts Redis, PostgreSQL and granian, measures, and compares the results with the budgets."""

    help = "Measure what requests cost, relative to controls in the same run, and compare with the budgets."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Parts to measure, size and output format."""
        every = (*NAMES, *LONG)
        parser.add_argument(
            "--only",
            nargs="+",
            choices=every,
            default=NAMES,
            metavar="NAME",
            help=f"{', '.join(every)}; the default is all except {', '.join(LONG)}",
        )
        parser.add_argument(
            "--entries",
            type=int,
            default=100_000,
            help="number of people in `line`, `root`, `loss`, `polls`, `entering`, `sale` and `partner` "
            "(default: %(default)s)",
        )
        parser.add_argument(
            "--sales",
            type=int,
            nargs="+",
            default=[1, 100],
            metavar="N",
            help="numbers of scheduled sales in the measurement `idle` (default: 1 100)",
        )
        parser.add_argument(
            "--gateway-ms",
            type=int,
            default=0,
            help="latency of the payment gateway in the measurements `confirm` and `sale` (default: %(default)s)",
        )
        parser.add_argument(
            "--units",
            type=int,
            help="units in the measurements `sale` and `partner` (default: one for every five people)",
        )
        parser.add_argument(
            "--lines", type=int, default=4, help="lines in the measurement `sale` (default: %(default)s)"
        )
        parser.add_argument(
            "--orders", type=int, default=2000, help="orders in the measurement `confirm` (default: %(default)s)"
        )
        parser.add_argument(
            "--clients",
            type=int,
            default=confirm.CLIENTS,
            help="connections at once in the measurement `confirm` (default: %(default)s)",
        )
        parser.add_argument(
            "--signed", action="store_true", help="the partner signs its requests in the measurement `partner`"
        )
        parser.add_argument(
            "--save-costs",
            type=Path,
            metavar="FILE",
            help=f"write the unit costs for `manage.py capacity` to this file; needs --only {' '.join(COSTING)}",
        )
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, **options: Any) -> None:
        """Measures and prints the figures."""
        if not 100 <= options["entries"] <= ENTRIES_MAX:
            raise CommandError(f"--entries must be between 100 and {ENTRIES_MAX:,}.")
        _refuse_nonsense(options)
        if options["save_costs"] and not set(COSTING) <= set(options["only"]):
            raise CommandError(
                f"--save-costs needs the measurements {', '.join(COSTING)}: add --only {' '.join(COSTING)}."
            )
        restart_isolated(postgres=True)
        console = Console(stderr=options["json"], highlight=False)
        load_before = os.getloadavg()[0]
        try:
            with start_isolated_servers() as servers:
                figures = _measure(servers, options, console)
        except (ServerNotReady, RedisNotFound, PostgresNotFound, CpuTimeUnavailable, FixtureError) as error:
            raise CommandError(str(error)) from error
        machine = (
            f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
            f"load {load_before:.1f} before and {os.getloadavg()[1]:.1f} in the last five minutes"
        )
        if options["save_costs"]:
            _save_costs(options["save_costs"], figures, machine)
        if options["json"]:
            print(json.dumps({"machine": machine, "figures": as_document(figures)}, indent=1, ensure_ascii=False))
        else:
            console.print(as_table(figures))
            console.print(machine)


def _save_costs(path: Path, figures: list[Figure], machine: str) -> None:
    """Writes the unit costs. Raises CommandError if one was not measured, and writes nothing then."""
    document = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "command": "manage.py " + " ".join(sys.argv[1:]),
        "costs": unit_costs(figures),
    }
    try:
        UnitCosts.of(document)
    except ValueError as error:
        raise CommandError(
            f"{path} is not written: {error}. The status of a line is measured only with nginx."
        ) from error
    path.write_text(json.dumps(document, indent=1) + "\n")


def _refuse_nonsense(options: dict[str, Any]) -> None:
    """Raises CommandError with what was found and what is expected."""
    bounds = {
        "gateway_ms": (0, GATEWAY_MS_MAX),
        "lines": (1, LINES_MAX),
        "orders": (1, ENTRIES_MAX),
        "clients": (1, 4096),
    }
    if options["units"] is not None:
        bounds["units"] = options["lines"], options["entries"]
    for name, (least, most) in bounds.items():
        if not least <= options[name] <= most:
            found = f"--{name.replace('_', '-')} is {options[name]:,}; expected {least:,} to {most:,}"
            raise CommandError(
                found + (" (one for each line, and at most one for each person)." if name == "units" else ".")
            )
    if not all(1 <= count <= SALES_MAX for count in options["sales"]):
        raise CommandError(f"--sales is {options['sales']}; expected numbers from 1 to {SALES_MAX:,}.")


def _terms(options: dict[str, Any]) -> whole_sale.Terms:
    units = options["units"] or max(options["lines"], options["entries"] // PEOPLE_PER_UNIT)
    return whole_sale.Terms(options["entries"], units, options["lines"], options["gateway_ms"])


def _measure(servers: IsolatedServers, options: dict[str, Any], console: Console) -> list[Figure]:
    figures = []
    for names, description, measure in [*_short_parts(servers, options), *_long_parts(servers, options, console.print)]:
        if names & set(options["only"]):
            console.print(f"Measuring {description} ...")
            figures += measure()
    return figures


Part = tuple[set[str], str, Callable[[], list[Figure]]]


def _short_parts(servers: IsolatedServers, options: dict[str, Any]) -> list[Part]:
    names, entries = options["only"], options["entries"]
    return [
        (set(door_budgets.NAMES), "the hot door (two minutes)", lambda: door_budgets.measure(servers, names)),
        ({"gate"}, "Redis (the gate)", gate.decisions),
        ({"line"}, f"a line of {entries:,}", lambda: gate.line(entries)),
        ({"books"}, "PostgreSQL (the books)", lambda: books.commits(servers)),
        (
            {"loss"},
            f"the recovery from a loss of Redis with {entries:,} entries",
            lambda: loss.rebuilds(servers, entries),
        ),
        ({"review"}, f"a review of {review.ORDERS:,} orders", review.scoring),
    ]


def _long_parts(servers: IsolatedServers, options: dict[str, Any], show_progress: Callable[[str], None]) -> list[Part]:
    entries, sales, gateway_ms = options["entries"], options["sales"], options["gateway_ms"]
    return [
        (
            {"sale"},
            f"a whole sale with {entries:,} people (some minutes)",
            lambda: whole_sale.sale(servers, _terms(options), show_progress),
        ),
        (
            {"partner"},
            f"a sale of a partner with {entries:,} shoppers (some minutes)",
            lambda: partner_sale.rehearsal(
                servers, replace(_terms(options), lines=1), show_progress, signed=options["signed"]
            ),
        ),
        (
            {"entering"},
            f"{entries:,} people who enter through the door",
            lambda: entering.entering(servers, entries, show_progress),
        ),
        ({"root"}, f"the root of {entries:,} entries", lambda: root.root(entries)),
        ({"reserve"}, "reservations by the number of clients", lambda: reserve_rates.rates(servers, show_progress)),
        (
            {"polls"},
            f"a waiting crowd of {entries:,} people, and bundles of partners",
            lambda: polls.polls(servers, entries, show_progress),
        ),
        (
            {"idle"},
            f"an idle installation with {', '.join(f'{count:,}' for count in sales)} scheduled sales (some minutes)",
            lambda: idle.idle(servers, sales, show_progress),
        ),
        (
            {"confirm"},
            f"paying, with a gateway that takes {gateway_ms} ms",
            lambda: confirm.confirmations(
                servers, gateway_ms=gateway_ms, orders=options["orders"], clients=options["clients"]
            ),
        ),
    ]
