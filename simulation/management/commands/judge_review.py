"""`manage.py judge_review`: tests the review's rules on simulated sales. Exits 1 when an aim is missed."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from flashsale.rules.review.rule_set import DEFAULT_RULE_SET
from simulation import review_judging
from simulation.review_judging import PRECISION_AIM, RECALL_AIM, JudgingResult, Row

# Not the seeds 1 to 6, by which the rules were made; docs/review.md shows the results of these.
SEEDS = "1000-1004"
ORDERS_MIN, ORDERS_MAX = 500, 100_000
VERDICTS = {True: "held", False: "missed", None: ""}


class Command(BaseCommand):
    """Simulates sales, scores their orders, and counts which kinds of people are flagged."""

    help = "Measure precision and recall of the review's rules on simulated sales. Exit 1 when an aim is missed."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Seeds, number of orders and output format."""
        parser.add_argument("--seeds", default=SEEDS, help=f"such as 7 or 1-5 or 3,9 (the default is {SEEDS})")
        parser.add_argument(
            "--orders", type=int, default=10_000, help="confirmed orders in each sale (default: %(default)s)"
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON instead of a table")
        form.add_argument("--markdown", action="store_true", help="print the table as docs/review.md has it")

    def handle(self, **options: Any) -> None:
        """Simulates, prints the table, and exits 1 if an aim is missed."""
        if not ORDERS_MIN <= options["orders"] <= ORDERS_MAX:
            raise CommandError(f"--orders must be between {ORDERS_MIN} and {ORDERS_MAX:,}.")
        result = review_judging.judge(seeds=_seeds(options["seeds"]), orders=options["orders"], rules=DEFAULT_RULE_SET)
        if options["json"]:
            print(json.dumps(result.as_document(), indent=1))
        elif options["markdown"]:
            print("\n".join(_markdown(result)))
        else:
            Console(highlight=False).print(_table(result))
        if not _held(result):
            sys.exit(1)


def _seeds(text: str) -> list[int]:
    try:
        found: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise CommandError("--seeds must be numbers, such as 7 or 1-5 or 3,9.") from error
    if not 0 < len(found) <= 100:
        raise CommandError("--seeds must name 1 to 100 numbers.")
    return found


def _held(result: JudgingResult) -> bool:
    kinds = all(row.held is not False for row in result.rows)
    return kinds and result.recall >= RECALL_AIM and result.precision >= PRECISION_AIM


def _lines(result: JudgingResult) -> list[tuple[str, ...]]:
    def line(row: Row, aim: str = "", *, held: bool | None = None) -> tuple[str, ...]:
        return (row.kind, f"{row.orders:,}", f"{row.flagged:,}", f"{row.share:.1%}", aim, VERDICTS[held])

    rings, honest = result.total(ring=True), result.total(ring=False)
    return [
        *(line(row) for row in result.rows if row.ring),
        line(rings, f"recall ≥ {RECALL_AIM:.0%}", held=result.recall >= RECALL_AIM),
        *(line(row, f"≤ {review_judging.KIND_AIM:.0%}", held=row.held) for row in result.rows if not row.ring),
        line(honest),
        (
            "precision",
            f"{rings.flagged + honest.flagged:,}",
            f"{rings.flagged:,}",
            f"{result.precision:.1%}",
            f"≥ {PRECISION_AIM:.0%}",
            VERDICTS[result.precision >= PRECISION_AIM],
        ),
    ]


HEAD = ("kind of people", "orders", "flagged", "share", "aim", "")


def _table(result: JudgingResult) -> Table:
    table = Table(*HEAD, header_style="bold")
    for line in _lines(result):
        table.add_row(*line)
    table.caption = f"scored in {result.score_s:.1f} s"
    return table


def _markdown(result: JudgingResult) -> list[str]:
    rows = [HEAD, ("---", "--:", "--:", "--:", "---", "---"), *_lines(result)]
    return [f"| {' | '.join(row)} |" for row in rows]
