"""Charts of the live board, drawn on the server as SVG. Each has the same figures as a table.

Lines differ by their dashes and carry their names at the right, so no colour is needed to read them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import Table
from flashsale.life.samples import Sample

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 200, 62, 132, 12, 24
TABLE_ROWS = 12
LABEL_GAP = 14


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: the points of each part without a gap, as SVG wants them, and its label at the right."""

    css: str
    name: str
    last: str
    parts: tuple[str, ...]
    label_y: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its scale. `scale` has (y, text), `times` has (x, text)."""

    title: str
    summary: str
    curves: tuple[Curve, ...]
    scale: tuple[tuple[int, str], ...]
    times: tuple[tuple[int, str], ...]
    table: Table


Values = Callable[[Sample], float | None]
Series = tuple[str, Promise, Values]

PEOPLE: tuple[Series, ...] = (
    ("entered", gettext_lazy("entered"), lambda one: one.entered),
    ("called", gettext_lazy("called"), lambda one: one.called),
    ("claimed", gettext_lazy("claimed"), lambda one: one.claimed),
    ("lapsed", gettext_lazy("lapsed"), lambda one: one.lapsed),
)
UNITS: tuple[Series, ...] = (
    ("free", gettext_lazy("free"), lambda one: one.free),
    ("held", gettext_lazy("held"), lambda one: one.held),
    ("sold", gettext_lazy("sold"), lambda one: one.sold),
)
DOOR: tuple[Series, ...] = (("entered", gettext_lazy("p95 (ms)"), lambda one: one.door_p95_ms),)
LAG: tuple[Series, ...] = (
    ("called", gettext_lazy("Redis (ms)"), lambda one: one.gate_ms),
    ("entered", gettext_lazy("PostgreSQL (ms)"), lambda one: one.books_ms),
)
WAITING: tuple[Series, ...] = (
    ("held", gettext_lazy("payments"), lambda one: one.payments_waiting),
    ("sold", gettext_lazy("cases"), lambda one: one.review_backlog),
)


def charts(samples: Sequence[Sample], zone: ZoneInfo) -> list[Chart]:
    """The charts of a sale; none with fewer than two samples."""
    if len(samples) < 2:
        return []
    return [
        chart(str(title), series, samples, zone)
        for title, series in (
            (_("People"), PEOPLE),
            (_("Units"), UNITS),
            (_("The door: 95 of 100 requests are faster"), DOOR),
            (_("Round trips"), LAG),
            (_("Waiting for payment or review"), WAITING),
        )
    ]


def chart(title: str, series: Sequence[Series], samples: Sequence[Sample], zone: ZoneInfo) -> Chart:
    """One chart of these series."""
    rows = [[values(one) for _css, _name, values in series] for one in samples]
    top = _round_up(max((value for row in rows for value in row if value is not None), default=0))
    begin, end = samples[0].at.timestamp(), samples[-1].at.timestamp()
    # The last step is often not full yet, and some may be missing.
    step = median((b.at - a.at).total_seconds() for a, b in pairwise(samples))

    def x(at: datetime) -> int:
        return LEFT + round((WIDTH - LEFT - RIGHT) * (at.timestamp() - begin) / max(1, end - begin))

    def y(value: float) -> int:
        return TOP + round((HEIGHT - TOP - BOTTOM) * (1 - value / top))

    curves, taken = [], set[int]()
    for column, (css, name, _values) in enumerate(series):
        points = [(one.at, row[column]) for one, row in zip(samples, rows, strict=True)]
        known = [value for _at, value in points if value is not None]
        label_y = _free_place(y(known[-1]) if known else TOP, taken)
        parts = tuple(
            " ".join(f"{x(at)},{y(value)}" for at, value in part) for part in _without_gaps(points, 2.5 * step)
        )
        curves.append(Curve(css, str(name), _number(known[-1]) if known else "–", parts, label_y))
    times = [samples[0].at, samples[len(samples) // 2].at, samples[-1].at]
    shown = [(x(at), f"{at.astimezone(zone):%H:%M:%S}") for at in times]
    scale = tuple((y(value), _number(value)) for value in (0, top / 2, top))
    summary = ", ".join(f"{curve.name} {curve.last}" for curve in curves)
    return Chart(title, summary, tuple(curves), scale, tuple(shown), _table(title, series, samples, zone))


def _without_gaps(points: Sequence[tuple[datetime, float | None]], gap_s: float) -> list[list[tuple[datetime, float]]]:
    """The parts of a line. A time that was not measured is a gap and not a straight line."""
    parts: list[list[tuple[datetime, float]]] = []
    last: datetime | None = None
    for at, value in points:
        if value is None:
            last = None
            continue
        if last is None or (at - last).total_seconds() > gap_s:
            parts.append([])
        parts[-1].append((at, value))
        last = at
    return [part if len(part) > 1 else part * 2 for part in parts]


def _free_place(y: int, taken: set[int]) -> int:
    """A height for a label that covers no other label."""
    place = min(max(y, TOP), HEIGHT - BOTTOM)
    while any(abs(place - other) < LABEL_GAP for other in taken):
        place = place - 1 if place > TOP else HEIGHT
    taken.add(place)
    return place


def _table(title: str, series: Sequence[Series], samples: Sequence[Sample], zone: ZoneInfo) -> Table:
    every = max(1, -(-len(samples) // TABLE_ROWS))
    chosen = list(reversed(samples))[::every]
    rows = [
        [f"{one.at.astimezone(zone):%H:%M:%S}", *(_number(values(one)) for _css, _name, values in series)]
        for one in chosen
    ]
    return Table(title, [_("time"), *(str(name) for _css, name, _values in series)], rows)


def _number(value: float | None) -> str:
    """With a space between thousands, which is the same in both languages."""
    return "–" if value is None else f"{round(value):,}".replace(",", " ")


def _round_up(value: float) -> float:
    """The end of a scale: 2, 4, 10, 20, 40, 100 and so on, at least the value."""
    end = 2.0
    for factor in _factors():
        if end >= value:
            return end
        end *= factor
    return end


def _factors() -> list[float]:
    return [2.0, 2.5, 2.0] * 12
