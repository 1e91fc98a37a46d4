"""The results of the bench, each with its budget."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

COLOURS = {"held": "green", "missed": "bold red", "": "dim"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `budget` is a text such as "≤ 4"; without one, `held` is None. `note` explains the value.

    `cost` is the name of the unit cost (flashsale/rules/capacity.py) that this value is, in the unit of that cost.
    """

    group: str
    what: str
    value: float
    unit: str
    budget: str = ""
    held: bool | None = None
    note: str = ""
    cost: str = ""

    @property
    def verdict(self) -> str:
        """`held`, `missed`, or empty without a budget."""
        return "" if self.held is None else "held" if self.held else "missed"


def at_most(group: str, what: str, value: float, *, unit: str, limit: float, note: str = "", cost: str = "") -> Figure:
    """A figure that is held if it is at most `limit`."""
    return Figure(group, what, value, unit, f"≤ {limit:,g}", value <= limit, note, cost)


def at_least(group: str, what: str, value: float, *, unit: str, limit: float, note: str = "", cost: str = "") -> Figure:
    """A figure that is held if it is at least `limit`."""
    return Figure(group, what, value, unit, f"≥ {limit:,g}", value >= limit, note, cost)


def unit_costs(figures: Sequence[Figure]) -> dict[str, float]:
    """The unit costs among the figures, by name, with three significant digits."""
    return {figure.cost: float(f"{figure.value:.3g}") for figure in figures if figure.cost}


def as_document(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The figures for JSON; values have four significant digits."""
    return [{**asdict(figure), "value": float(f"{figure.value:.4g}")} for figure in figures]


def as_table(figures: Sequence[Figure]) -> Table:
    """The figures as a table for the terminal."""
    table = Table("what", "found", "unit", "budget", "", "details", header_style="bold")
    group = ""
    for figure in figures:
        if figure.group != group:
            group = figure.group
            table.add_section()
            table.add_row(f"[bold]{group}[/]")
        verdict = f"[{COLOURS[figure.verdict]}]{figure.verdict}[/]"
        table.add_row(f"  {figure.what}", format_number(figure.value), figure.unit, figure.budget, verdict, figure.note)
    return table


def format_number(value: float) -> str:
    """The number as text: from 1,000 on with commas, smaller ones with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
