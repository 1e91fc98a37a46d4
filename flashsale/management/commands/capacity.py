"""`manage.py capacity`: what a sale needs of doors, Redis, PostgreSQL, nginx and the gateway, and what breaks first."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from flashsale.rules import polling
from flashsale.rules.capacity import SHARE_OF_CORE, Need, Plan, UnitCosts, breaks_first, needs

COSTS = Path(__file__).resolve().parents[1] / "unit_costs.json"
PEOPLE_MAX, UNITS_MAX, CHANNELS_MAX, SALES_MAX = 100_000_000, 10_000_000, 50, 10_000
MINUTES_MAX = 24 * 60
CLAIM_S, CLAIM_S_LEAST = 300, polling.CLAIM_MS_MIN // 1000


class Command(BaseCommand):
    """Reads nothing but the measured costs, so it needs neither Redis nor PostgreSQL."""

    help = (
        "Say what a sale needs of each part, and which part breaks first, from the costs that `manage.py bench` "
        "measured. Example: capacity --people 250000 --units 50000 --minutes 5 --channels 4"
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The size of the sale."""
        parser.add_argument("--people", type=int, required=True, help="people who enter the line")
        parser.add_argument("--units", type=int, required=True, help="units of all offers together")
        parser.add_argument("--minutes", type=float, required=True, help="minutes until all units are sold and paid")
        parser.add_argument("--channels", type=int, default=1, help="channels, each with a line (default: %(default)s)")
        parser.add_argument(
            "--claim-seconds",
            type=int,
            help=f"the claim window (default: a fifteenth of the time, from {CLAIM_S_LEAST} to {CLAIM_S})",
        )
        parser.add_argument(
            "--no-shows", type=float, default=10, help="percent of called people who do not come (default: %(default)s)"
        )
        parser.add_argument(
            "--busiest-minute",
            type=float,
            default=20,
            help="percent of all people who enter in the busiest minute (default: %(default)s)",
        )
        parser.add_argument(
            "--sales", type=int, default=1, help="equal sales at once, each in its campaign (default: %(default)s)"
        )
        parser.add_argument(
            "--costs",
            type=Path,
            default=COSTS,
            help="a file of `bench --save-costs` (default: ours, of 2 shared cores)",
        )
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, **options: Any) -> None:
        """Prints the needs. Exits 1 for a plan that cannot work, or for costs that cannot be read."""
        _refuse_nonsense(options)
        document = _document(options["costs"])
        minutes = options["minutes"]
        claim_s = options["claim_seconds"] or int(min(CLAIM_S, max(CLAIM_S_LEAST, minutes * 60 / 15)))
        try:
            costs = UnitCosts.of(document)
        except ValueError as error:
            raise CommandError(
                f"{options['costs']} has no costs: {error}. Make it by `manage.py bench --only sale line books "
                "--save-costs FILE`."
            ) from error
        try:
            plan = Plan(
                options["people"], options["units"], minutes, options["channels"], claim_s, options["no_shows"] / 100,
                options["busiest_minute"] / 100,
            )  # fmt: skip
        except ValueError as error:
            raise CommandError(str(error)) from error
        found = needs(plan, costs, campaigns=options["sales"])
        first = breaks_first(found)
        if options["json"]:
            self.stdout.write(json.dumps(_as_document(plan, found, first, document), indent=1))
        else:
            text = StringIO()
            _print(Console(file=text, width=120, highlight=False), plan, found, first, document)
            self.stdout.write(text.getvalue())


def _refuse_nonsense(options: dict[str, Any]) -> None:
    """Raises CommandError with what was found and what is expected."""
    bounds = {
        "people": (1, PEOPLE_MAX),
        "channels": (1, CHANNELS_MAX),
        "units": (1, UNITS_MAX),
        "minutes": (1, MINUTES_MAX),
        "no_shows": (0, 90),
        "busiest_minute": (1, 100),
        "sales": (1, SALES_MAX),
    }
    if options["claim_seconds"] is not None:
        bounds["claim_seconds"] = CLAIM_S_LEAST, 24 * 3600
    for name, (least, most) in bounds.items():
        if not least <= options[name] <= most:
            raise CommandError(f"--{name.replace('_', '-')} is {options[name]:,}; expected {least:,} to {most:,}.")
    for name in ("units", "people"):
        if options[name] < options["channels"]:
            raise CommandError(
                f"--{name} is {options[name]:,} and --channels is {options['channels']}; expected one for each line."
            )


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"The costs in {path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CommandError(f"The costs in {path} are {type(found).__name__}; expected an object.")
    return found


def _as_document(plan: Plan, found: list[Need], first: Need, costs: dict[str, Any]) -> dict[str, Any]:
    return {
        "needs": [
            {"part": need.part, "amount": float(f"{need.amount:.4g}"), "unit": need.unit, "why": need.why,
             "share": need.share and float(f"{need.share:.4g}")}
            for need in found
        ],
        "breaks_first": first.part,
        "claim_s": plan.claim_s,
        "calls_per_s_and_line": float(f"{plan.rate_per_s:.4g}"),
        "measured": {name: costs.get(name) for name in ("measured", "machine", "command")},
    }  # fmt: skip


def _print(console: Console, plan: Plan, found: list[Need], first: Need, costs: dict[str, Any]) -> None:
    table = Table("part", "needs", "", "because", header_style="bold")
    for need in found:
        table.add_row(need.part, _number(need.amount), need.unit, need.why)
    console.print(table)
    console.print(
        f"Claim window {plan.claim_s} s; {'the line calls' if plan.lines == 1 else 'each line calls'} "
        f"{plan.rate_per_s:,.0f} people a second (its setting), from {plan.first_call_s:.1f} s after the opening on."
    )
    share = first.share or 0
    told = f"{first.part} breaks first: it has {share:.0%} of the work that one server can do."
    advice = "Give people more time to enter or to buy, or sell in several campaigns."
    console.print(told if share <= 1 else f"[bold red]Does not fit:[/] {told} {advice}")
    console.print(
        f"A core counts as full at {SHARE_OF_CORE:.0%}. Costs of {costs.get('measured', 'an unknown day')}: "
        f"{costs.get('machine', 'an unknown machine')}. "
        "Measure yours: manage.py bench --only sale line books --save-costs FILE."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
