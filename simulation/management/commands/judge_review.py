"""`manage.py judge_review`: the review's rules on simulated sales whose truth is known; exits 1 if an aim is missed."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from flashsale.rules.review.rule_set import DEFAULT_RULE_SET
from simulation import review_judging
from simulation.review_judging import PRECISION_AIM, RECALL_AIM, Judged, Row

# Those by which the rules were made; what the documents say comes from others.
SEEDS = "1000-1004"
ORDERS_MIN, ORDERS_MAX = 500, 100_000
VERDICTS = {True: "held", False: "missed", None: ""}


class Command(BaseCommand):
    """Simulates sales, scores their orders, counts."""

    help = "Precision and recall of the review's rules on simulated families, offices, rings; exit 1 below the aims."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many sales of what size, in what form."""
        parser.add_argument("--seeds", default=SEEDS, help=f"such as 7 or 1-5 or 3,9 (the default is {SEEDS})")
        parser.add_argument("--orders", type=int, default=10_000, help="confirmed orders of each sale")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON instead of a table")
        form.add_argument("--markdown", action="store_true", help="print the table as docs/review.md has it")

    def handle(self, **options: Any) -> None:
        """Judges and tells."""
        if not ORDERS_MIN <= options["orders"] <= ORDERS_MAX:
            raise CommandError(f"--orders lies between {ORDERS_MIN} and {ORDERS_MAX:,}.")
        judged = review_judging.judge(seeds=_seeds(options["seeds"]), orders=options["orders"], rules=DEFAULT_RULE_SET)
        if options["json"]:
            print(json.dumps(judged.as_document(), indent=1))
        elif options["markdown"]:
            print("\n".join(_markdown(judged)))
        else:
            Console(highlight=False).print(_table(judged))
        if not _held(judged):
            sys.exit(1)


def _seeds(text: str) -> list[int]:
    try:
        found: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise CommandError("--seeds: numbers, such as 7 or 1-5 or 3,9.") from error
    if not 0 < len(found) <= 100:
        raise CommandError("--seeds: 1 to 100 of them.")
    return found


def _held(judged: Judged) -> bool:
    kinds = all(row.held is not False for row in judged.rows)
    return kinds and judged.recall >= RECALL_AIM and judged.precision >= PRECISION_AIM


def _lines(judged: Judged) -> list[tuple[str, ...]]:
    def line(row: Row, aim: str = "", *, held: bool | None = None) -> tuple[str, ...]:
        return (row.kind, f"{row.orders:,}", f"{row.flagged:,}", f"{row.share:.1%}", aim, VERDICTS[held])

    rings, honest = judged.whole(ring=True), judged.whole(ring=False)
    return [
        *(line(row) for row in judged.rows if row.ring),
        line(rings, f"recall ≥ {RECALL_AIM:.0%}", held=judged.recall >= RECALL_AIM),
        *(line(row, f"≤ {review_judging.KIND_AIM:.0%}", held=row.held) for row in judged.rows if not row.ring),
        line(honest),
        ("precision", f"{rings.flagged + honest.flagged:,}", f"{rings.flagged:,}", f"{judged.precision:.1%}",
         f"≥ {PRECISION_AIM:.0%}", VERDICTS[judged.precision >= PRECISION_AIM]),
    ]  # fmt: skip


HEAD = ("kind of people", "orders", "looked at", "share", "aim", "")


def _table(judged: Judged) -> Table:
    table = Table(*HEAD, header_style="bold")
    for line in _lines(judged):
        table.add_row(*line)
    table.caption = f"scored in {judged.score_s:.1f} s"
    return table


def _markdown(judged: Judged) -> list[str]:
    rows = [HEAD, ("---", "--:", "--:", "--:", "---", "---"), *_lines(judged)]
    return [f"| {' | '.join(row)} |" for row in rows]
