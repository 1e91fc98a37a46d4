"""`manage.py judge_review`: tests the review's rules on simulated sales. Exits 1 when an aim is missed."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from flashsale.rules.review.fact_rules import DEFAULT_FACT_RULES, AnyRuleSet
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET
from simulation import review_judging
from simulation.review_crowd import ORDERS_MAX, ORDERS_MIN
from simulation.review_crowd.judging import KIND_AIM, Judgement, KindResult
from simulation.review_judging import CROWDS, JudgingResult

GENERATIONS: dict[int, AnyRuleSet] = {1: DEFAULT_RULE_SET, 2: DEFAULT_FACT_RULES}
VERDICTS = {True: "held", False: "missed", None: ""}
MEASURES = ("measure", "all sales", "worst sale", "aim", "")
KINDS = ("kind of people", "orders", "flagged", "share", "households", "touched", "share")
RINGS = ("kind of ring", "orders", "flagged", "share", "rings", "half found", "share")
Rows = list[tuple[str, ...]]


class Command(BaseCommand):
    """Simulates sales, scores their orders, and counts which rings are found and which people are flagged."""

    help = (
        "Measure on simulated sales which rings the review's rules find, and which honest people they flag. "
        "Exit 1 when an aim is missed."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Crowd, seeds, number of orders and output format."""
        parser.add_argument(
            "--crowd",
            choices=CROWDS,
            default="first",
            help="the simulated people; the second crowd was written without knowledge of the rules and of "
            "the first crowd (default: %(default)s)",
        )
        judging = " or ".join(f"{_span(crowd.judging_seeds)} ({name} crowd)" for name, crowd in CROWDS.items())
        making = " or ".join(_span(crowd.development_seeds) for crowd in CROWDS.values())
        parser.add_argument(
            "--seeds",
            help=f"such as 7 or 1-5 or 3,9 (the default is {judging}, which are for judging only; make rules with "
            f"{making})",
        )
        parser.add_argument(
            "--orders", type=int, default=10_000, help="confirmed orders in each sale (default: %(default)s)"
        )
        parser.add_argument(
            "--generation",
            type=int,
            choices=GENERATIONS,
            default=2,
            help="the rules of this generation, with their default numbers (default: %(default)s)",
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON instead of tables")
        form.add_argument("--markdown", action="store_true", help="print the tables as docs/review.md has them")

    def handle(self, **options: Any) -> None:
        """Simulates, prints the tables, and exits 1 if an aim is missed."""
        if not ORDERS_MIN <= options["orders"] <= ORDERS_MAX:
            raise CommandError(f"--orders must be between {ORDERS_MIN} and {ORDERS_MAX:,}, not {options['orders']}.")
        crowd, rules = CROWDS[options["crowd"]], GENERATIONS[options["generation"]]
        seeds = _span(crowd.judging_seeds) if options["seeds"] is None else options["seeds"]
        result = review_judging.judge(seeds=_seeds(seeds), orders=options["orders"], rules=rules, crowd=crowd)
        sales = f"Crowd: {crowd.name}. Seeds: {seeds}. Orders in each sale: {options['orders']:,}."
        if options["json"]:
            costs = {"score_s": round(result.score_s, 2), "peak_mib": result.peak_mib}
            print(json.dumps({"crowd": crowd.name} | result.judgement.as_document() | costs, indent=1))
        elif options["markdown"]:
            print("\n\n".join((sales, *("\n".join(_markdown(*table)) for table in _tables(result.judgement)))))
        else:
            print(sales)
            _print(result)
        if not result.judgement.held:
            sys.exit(1)


def _span(seeds: range) -> str:
    return f"{seeds[0]}-{seeds[-1]}"


def _seeds(text: str) -> list[int]:
    try:
        found: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise CommandError("--seeds must be numbers, such as 7 or 1-5 or 3,9.") from error
    if not 0 < len(found) <= 100 or len(set(found)) < len(found):
        raise CommandError("--seeds must name 1 to 100 numbers, each once.")
    return found


def _tables(judgement: Judgement) -> Iterator[tuple[tuple[str, ...], Rows]]:
    """The heads and rows of the three tables: measures, rings, honest people."""
    yield (
        MEASURES,
        [
            (name, f"{value:.1%}", f"{worst:.1%}", f"≥ {aim:.0%}", VERDICTS[value >= aim])
            for name, value, worst, aim in judgement.aims
        ],
    )
    kinds = judgement.kinds
    rings = [row for row in kinds if row.ring]
    yield RINGS, [_row(row) for row in (*rings, judgement.all_rings)]
    honest = [row for row in kinds if not row.ring]
    yield (
        (*KINDS, f"≤ {KIND_AIM:.0%}"),
        [
            *((*_row(row), VERDICTS[row.held]) for row in honest),
            (*_row(judgement.all_honest), ""),
        ],
    )


def _row(row: KindResult) -> tuple[str, ...]:
    orders = (row.kind, f"{row.orders:,}", f"{row.flagged:,}", f"{row.share:.1%}")
    return (*orders, f"{row.groups:,}", f"{row.touched:,}", f"{row.touched_share:.1%}")


def _print(result: JudgingResult) -> None:
    console = Console(highlight=False)
    for head, rows in _tables(result.judgement):
        table = Table(*(Column(title, no_wrap=True) for title in head), header_style="bold", box=SIMPLE_HEAD)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(
        f"Scored in {result.score_s:.1f} s of one core, the slowest sale in {result.slowest_s:.1f} s. "
        f"At most {result.peak_mib:,} MiB of memory, with the simulation."
    )


def _markdown(head: tuple[str, ...], rows: Rows) -> list[str]:
    lines = [head, ("---", *("--:" for _ in head[1:])), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
