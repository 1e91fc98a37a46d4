"""Scope of an audit: some sales, and in them everything or only what was touched since the last check.

How touched rows are found. PostgreSQL notes in each row which transaction wrote it (`xmin`). A check notes the oldest
transaction that has not ended. The next check takes the rows that this or a later transaction wrote, by a program or
by hand: a constraint, a trigger or an event may be missing, but the note is always there. It reads the rows of the sale
alone, and of tables that only grow the rows since the sale's first one. SQLite has no such note: there a check reads
everything.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Max, Min, Model, Q, QuerySet

from flashsale.models import (
    Campaign,
    Event,
    LimitSlot,
    Move,
    PaymentAttempt,
    Reservation,
    ReservationUnit,
    Sale,
    Unit,
)
from flashsale.rules.states import SaleState

Row = TypeVar("Row", bound=Model)

# Tables that only grow, each with the column of its reservation and the path to its sale.
GROWING: tuple[tuple[type[Model], str, str], ...] = (
    (ReservationUnit, "reservation_id", "reservation__sale"),
    (LimitSlot, "reservation_id", "reservation__sale"),
    (PaymentAttempt, "reservation_id", "reservation__sale"),
    (Event, "reservation_id", "sale"),
)
# A row with a smaller id may be committed later than one with a greater id.
IDS_BEFORE = 10_000


@dataclass(frozen=True, slots=True)
class Touched:
    """Ids of reservations and of units that were written, or of which another row was written."""

    reservations: Collection[UUID]
    units: Collection[int]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a check looks at: these sales of a campaign; `touched` rows of them, or everything (None)."""

    campaign: Campaign
    sales: tuple[Sale, ...]
    touched: Touched | None = None

    @classmethod
    def whole(cls, campaign: Campaign) -> "Scope":
        """Everything in all published sales of a campaign."""
        sales = Sale.objects.filter(campaign=campaign).exclude(state=SaleState.DRAFT)
        return cls(campaign, tuple(sales.select_related("campaign")))

    def everything(self) -> "Scope":
        """Everything in the same sales."""
        return replace(self, touched=None)

    def reservations(self, column: str = "pk") -> Q:
        """The condition that a row belongs to a reservation of this scope; `column` leads to its id."""
        return Q() if self.touched is None else Q(**{f"{column}__in": self.touched.reservations})

    def units(self, column: str = "pk") -> Q:
        """The condition that a row belongs to a unit of this scope; `column` leads to its id."""
        return Q() if self.touched is None else Q(**{f"{column}__in": self.touched.units})


@dataclass(frozen=True, slots=True)
class Marks:
    """What the next check of a sale needs: the oldest transaction that had not ended, and where growing tables begin.

    `xid` is None on SQLite.
    """

    xid: int | None
    first: Mapping[str, int]

    @classmethod
    def now(cls, sale: Sale, known: "Marks | None") -> "Marks":
        """The marks before a check that begins now. `known` are those of an earlier check."""
        if connection.vendor != "postgresql":
            return cls(None, {})
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
            xid = int(cursor.fetchone()[0])
        return cls(xid, known.first if known else _first_ids(sale))


def _first_ids(sale: Sale) -> dict[str, int]:
    """For each growing table the id from which on rows of the sale stand."""
    found = {}
    for model, _, path in GROWING:
        rows = model._default_manager  # noqa: SLF001 - a model's rows
        own = rows.filter(**{path: sale}).aggregate(first=Min("pk"))["first"]
        last = rows.aggregate(last=Max("pk"))["last"] or 0
        found[model._meta.db_table] = own if own is not None else max(0, last - IDS_BEFORE)  # noqa: SLF001
    return found


def touched_since(sale: Sale, marks: Marks) -> Touched | None:
    """What was touched in a sale since these marks were made; None if only everything will do."""
    if marks.xid is None:
        return None
    lines = list(sale.allocations.values_list("pk", flat=True))
    units = set(_written(Unit.objects.filter(allocation__in=lines), marks.xid).values_list("pk", flat=True))
    units |= set(_moved(lines, marks.xid))
    reservations = set(_written(Reservation.objects.filter(sale=sale), marks.xid).values_list("pk", flat=True))
    for model, column, _ in GROWING:
        first = marks.first.get(model._meta.db_table, 0)  # noqa: SLF001
        rows = _written(model._default_manager.filter(pk__gte=first), marks.xid)  # noqa: SLF001
        reservations.update(rows.exclude(**{column: None}).values_list(column, flat=True))
    reservations.update(_of_units(units))
    return Touched(_of_sale(sale, reservations), units | set(_units_of(reservations)))


def _written(rows: "QuerySet[Row]", xid: int) -> "QuerySet[Row]":
    """The rows that this transaction or a later one wrote. The age of a transaction counts back from now."""
    table = connection.ops.quote_name(rows.model._meta.db_table)  # noqa: SLF001
    # No input stands in the text. A number of a transaction has 32 bits in a row.
    return rows.order_by().extra(where=[f"age({table}.xmin) <= age(%s::xid)"], params=[str(xid % 2**32)])  # noqa: S610


def _moved(lines: Iterable[int], xid: int) -> "QuerySet[Any, Any]":
    moves = Move.objects.filter(Q(origin__in=lines) | Q(target__in=lines))
    return _written(moves, xid).values_list("unit", flat=True)


def _of_units(units: Collection[int]) -> "QuerySet[Any, Any]":
    return ReservationUnit.objects.filter(unit__in=units, active=True).values_list("reservation", flat=True)


def _units_of(reservations: Collection[UUID]) -> "QuerySet[Any, Any]":
    return ReservationUnit.objects.filter(reservation__in=reservations).values_list("unit", flat=True)


def _of_sale(sale: Sale, reservations: Collection[UUID]) -> set[UUID]:
    """Those of these reservations that belong to the sale, also those that do not exist (any more)."""
    others = Reservation.objects.filter(pk__in=reservations).exclude(sale=sale)
    return set(reservations) - set(others.values_list("pk", flat=True))
