"""Close: removes a sale that is over from Redis. PostgreSQL keeps it. All holds must have ended first."""

from django.db import transaction

from flashsale.books.events import NewEvent, record
from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, sale_cards
from flashsale.life import fairness_report
from flashsale.life.sale_card import card_of
from flashsale.models import Record, Reservation, Sale
from flashsale.rules import wall_clock
from flashsale.rules.events import EventType
from flashsale.rules.states import Phase, ReservationState, SaleState


def close(*, sale: int) -> bool:
    """Closes a sale that is over and has no held units. Returns whether it is closed. Safe to repeat.

    Raises GateDown when Redis does not answer. PostgreSQL has closed the sale then. Repeat the call to update Redis.
    """
    with transaction.atomic():
        lock_sale(sale, exclusive=True)
        row = Sale.objects.select_related("campaign").get(pk=sale)
        if row.phase(wall_clock.now_ms()) not in {Phase.CLOSED, Phase.CALLED_OFF}:
            return False
        if Reservation.objects.filter(sale=row, state=ReservationState.HELD).exists():
            return False
        if row.state in {SaleState.PUBLISHED, SaleState.PAUSED}:
            row.state = SaleState.CLOSED
            row.revision += 1
            row.save(update_fields=["state", "revision"])
            record([NewEvent(EventType.SALE_CLOSED, row.pk)], wall_clock.now())
            Record.write("close", by="clock", sale=row)
    fairness_report.store_gate_counts(sale=row)
    bridge.run(sale_cards.remove_sale(card_of(row)))
    return True
