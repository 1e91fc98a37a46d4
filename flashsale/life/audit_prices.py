"""Audit of prices: every unit was reserved at the official price of its offer, and paid at the price of its order."""

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from django.db.models import F, Q

from flashsale.models import Offer, PaymentAttempt, ReservationUnit, Sale
from flashsale.rules.states import ReservationState

ACTIVE = [ReservationState.HELD, ReservationState.CONFIRMED]


def priced_wrongly(sale: Sale, among: Q) -> Iterator[str]:
    """The reservations and payments of a sale with another price. `among` bounds rows by their `reservation`."""
    prices = dict(Offer.objects.filter(sale=sale).values_list("sku", "price"))
    rows = ReservationUnit.objects.filter(among, reservation__sale=sale)
    columns = (
        "reservation_id",
        "reservation__state",
        "reservation__amount",
        "active",
        "price",
        "unit__sku",
        "unit__serial",
    )
    official: Counter[tuple[UUID, int]] = Counter()
    for id_, state, amount, active, price, sku, serial in rows.values_list(*columns).iterator():
        if price != prices.get(sku):
            yield f"reservation {id_} has unit {serial} for {price}, the official price is {prices.get(sku)}"
        if active and state in ACTIVE:
            official[id_, amount] += prices.get(sku, 0)
    yield from (
        f"reservation {id_} costs {amount}, the official price of its units is {price}"
        for (id_, amount), price in official.items()
        if amount != price
    )
    charged = PaymentAttempt.objects.filter(among, reservation__sale=sale).exclude(amount=F("reservation__amount"))
    yield from (
        f"the payment of reservation {row.reservation_id} is {row.amount}, its amount is {row.reservation.amount}"
        for row in charged.select_related("reservation")
    )
