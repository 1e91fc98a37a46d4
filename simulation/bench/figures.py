"""What the bench finds, beside the budget it is held against."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

COLOURS = {"held": "green", "missed": "bold red", "": "dim"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `budget` in words, `held` None where there is none; `note` says how it came about."""

    group: str
    what: str
    value: float
    unit: str
    budget: str = ""
    held: bool | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Held, missed, or nothing where there is no budget."""
        return "" if self.held is None else "held" if self.held else "missed"


def at_most(group: str, what: str, value: float, *, unit: str, limit: float, note: str = "") -> Figure:
    """A figure that should not be larger than `limit`."""
    return Figure(group, what, value, unit, f"≤ {limit:,g}", value <= limit, note)


def at_least(group: str, what: str, value: float, *, unit: str, limit: float, note: str = "") -> Figure:
    """A figure that should not be smaller than `limit`."""
    return Figure(group, what, value, unit, f"≥ {limit:,g}", value >= limit, note)


def as_document(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The figures as JSON holds them."""
    return [{**asdict(figure), "value": float(f"{figure.value:.4g}")} for figure in figures]


def as_table(figures: Sequence[Figure]) -> Table:
    """The figures for people."""
    table = Table("what", "found", "unit", "budget", "", "how", header_style="bold")
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
    """A number as people read it: thousands with commas, small ones with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
