"""Reads the reservations that are being paid, and what belongs to them: one statement a table for a whole batch."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from django.db import connection
from django.db.models import Model

from flashsale.books.rows import Select, columns_of
from flashsale.models.campaign import Campaign
from flashsale.models.limit_slot import LimitSlot
from flashsale.models.payment import PaymentAttempt
from flashsale.models.reservation import Reservation, ReservationUnit
from flashsale.models.sale import Clock, Sale

Row = TypeVar("Row", bound=Model)
_RESERVATION, _ATTEMPT, _SALE = columns_of(Reservation), columns_of(PaymentAttempt), columns_of(Sale)
_CAMPAIGN, _CLOCK = columns_of(Campaign), columns_of(Clock)


class OrderedUnit(NamedTuple):
    """A unit of a reservation, as both tables have it now."""

    id: int
    reservation: uuid.UUID
    unit: int
    sku: str
    price: int
    active: bool
    serial: str
    state: str
    version: int
    unit_sku: str


class Place(NamedTuple):
    """Where a reservation was made: codes of line and channel, the payment accounts of the channel, and its kind.

    `letters`: we write to the buyers of this channel about their orders.
    """

    line: str
    channel: str
    accounts: str
    kind: str
    letters: bool


_reservations = Select(
    lambda ids: Reservation.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list(*_RESERVATION)
)
_sales = Select(
    lambda ids: (
        Sale.objects.filter(pk__in=ids)
        .order_by()
        .values_list(*_SALE, *columns_of(Campaign, "campaign__"), *columns_of(Clock, "clock__"))
    )
)
_attempts = Select(
    lambda ids: PaymentAttempt.objects.filter(reservation__in=ids).order_by("number").values_list(*_ATTEMPT)
)
_attempts_locked = Select(
    lambda references: (
        PaymentAttempt.objects.select_for_update()
        .filter(reference__in=references)
        .order_by("pk")
        .values_list(*_ATTEMPT)
    )
)
_slots = Select(
    lambda ids: LimitSlot.objects.filter(reservation__in=ids).values_list("reservation_id", "axis", "digest")
)
_units = Select(
    lambda ids: ReservationUnit.objects.filter(reservation__in=ids)
    .order_by("pk")
    .values_list(
        "id", "reservation_id", "unit_id", "sku", "price", "active", "unit__serial", "unit__state", "unit__version",
        "unit__sku",
        "reservation__allocation__code", "reservation__channel__code", "reservation__channel__payment_accounts",
        "reservation__channel__kind", "reservation__channel__order_letters",
    )
)  # fmt: skip


def _made(model: type[Row], columns: list[str], values: Iterable[Any]) -> Row:
    return model.from_db(connection.alias, columns, list(values))


def lock_reservations(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Reservation]:
    """The reservations, locked in the order of their ids, each with its sale, the campaign and the clock.

    PostgreSQL returns the reservations as they are once we hold their locks. What else is read after that is as new.
    """
    rows = [_made(Reservation, _RESERVATION, values) for values in _reservations(sorted(ids))]
    sales = {values[0]: _sale(values) for values in _sales(list({row.sale_id for row in rows}))}
    for row in rows:
        row.sale = sales[row.sale_id]
    return {row.pk: row for row in rows}


def _sale(values: tuple[Any, ...]) -> Sale:
    sale = _made(Sale, _SALE, values[: len(_SALE)])
    sale.campaign = _made(Campaign, _CAMPAIGN, values[len(_SALE) : -len(_CLOCK)])
    clock = values[-len(_CLOCK) :]
    # Remembered also if there is none, because coroutines read it, and they must not query.
    found = _made(Clock, _CLOCK, clock) if clock[0] is not None else None
    Sale.clock.related.set_cached_value(sale, found)
    return sale


def attempts_of(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[PaymentAttempt]]:
    """All attempts to pay of these reservations, the first one first."""
    attempts = defaultdict(list)
    for values in _attempts(list(ids)):
        attempt = _made(PaymentAttempt, _ATTEMPT, values)
        attempts[attempt.reservation_id].append(attempt)
    return attempts


def lock_attempts(references: Collection[str]) -> dict[str, PaymentAttempt]:
    """The attempts with these references, locked."""
    attempts = (_made(PaymentAttempt, _ATTEMPT, values) for values in _attempts_locked(list(set(references))))
    return {attempt.reference: attempt for attempt in attempts}


def slots_of(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, set[tuple[str, str]]]:
    """Axis and hex digest of the limit slots that each reservation has taken."""
    slots = defaultdict(set)
    for id_, axis, digest in _slots(list(ids)):
        slots[id_].add((axis, digest))
    return slots


def units_of(ids: Collection[uuid.UUID]) -> tuple[dict[uuid.UUID, list[OrderedUnit]], dict[uuid.UUID, Place]]:
    """The units of each reservation, also those that it had before, the oldest first; and where it was made."""
    units, places = defaultdict(list), {}
    size = len(OrderedUnit._fields)
    for values in _units(list(ids)):
        unit = OrderedUnit(*values[:size])
        units[unit.reservation].append(unit)
        places[unit.reservation] = Place(*values[size:])
    return units, places
