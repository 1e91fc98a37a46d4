"""Audit of settlements: the files say what PostgreSQL (the books) says of orders, payments and refunds."""

import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet, Sum

from flashsale.life.settlement import WITH_US, Sums, changed_file, events_without_file, own_files
from flashsale.models import Campaign, Event, PaymentAttempt, Refund, Reservation, SettlementDay, SettlementLine
from flashsale.rules.states import MONEY_CAME, RefundState, ReservationState


def settlements_unlike_rows(campaign: Campaign) -> Iterator[str]:
    """The files that have changed since they were made, and the reservations of which all files say something else.

    A reservation counts when all its events are in files.
    """
    first = SettlementDay.objects.filter(campaign=campaign).order_by("date").first()
    if first is None:
        return
    for file in own_files().filter(sale__campaign=campaign):
        if found := changed_file(file):
            yield f"settlement {file}: {found}"
    noted, books = _noted(campaign), _books(campaign)
    waiting = set(events_without_file(campaign).values_list("reservation", flat=True))
    # Events that were deleted before the first file was made are in no file.
    untold = Reservation.objects.filter(sale__campaign=campaign, events_deleted__gt=0, made_at__lt=first.made_at)
    waiting.update(untold.values_list("pk", flat=True))
    for id_ in sorted(noted.keys() | books.keys()):
        if id_ in waiting or noted[id_] == books[id_]:
            continue
        if id_ in noted or Event.objects.filter(reservation=id_).exists():
            yield f"reservation {id_}: the settlements say {noted[id_]}, PostgreSQL says {books[id_]}"


def _noted(campaign: Campaign) -> dict[uuid.UUID, Sums]:
    rows = SettlementLine.objects.filter(settlement__sale__campaign=campaign)
    return _by_reservation(rows, "reservation", {name: name for name in Sums._fields})


def _books(campaign: Campaign) -> dict[uuid.UUID, Sums]:
    orders = Reservation.objects.filter(sale__campaign=campaign, state=ReservationState.CONFIRMED)
    payments = PaymentAttempt.objects.filter(reservation__sale__campaign=campaign)
    refunds = Refund.objects.filter(attempt__reservation__sale__campaign=campaign, state=RefundState.CONFIRMED)
    found: dict[uuid.UUID, Sums] = defaultdict(Sums)
    for part in (
        _by_reservation(orders, "pk", {"units": "quantity", "amount": "amount"}),
        _by_reservation(payments.filter(state__in=WITH_US), "reservation", {"paid": "paid"}),
        _by_reservation(payments.filter(state__in=MONEY_CAME), "reservation", {"fee": "fee"}),
        _by_reservation(refunds, "attempt__reservation", {"refunded": "amount"}),
    ):
        for id_, sums in part.items():
            found[id_] = found[id_].plus(sums)
    return found


def _by_reservation(rows: "QuerySet[Any]", key: str, columns: dict[str, str]) -> dict[uuid.UUID, Sums]:
    """The sums of these columns for each reservation, without those of which all sums are 0."""
    sums = {f"of_{name}": Sum(column) for name, column in columns.items()}
    found: dict[uuid.UUID, Sums] = defaultdict(Sums)
    for row in rows.values(key).order_by(key).annotate(**sums).iterator():
        values: list[Any] = [row.get(f"of_{name}") or 0 for name in Sums._fields]
        own = Sums(*values)
        if own != Sums():
            found[row[key]] = own
    return found
