"""Close: a sale that is over leaves the gate; the books keep it. What is still held has to end first."""

from django.db import transaction
from django.utils import timezone

from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, sale_cards
from flashsale.life import fairness_report
from flashsale.life.sale_card import card_of
from flashsale.models import Record, Reservation, Sale
from flashsale.models.sale import ms
from flashsale.rules.states import Phase, ReservationState, SaleState


def close(*, sale: int) -> bool:
    """Whether the sale is closed now; it stays as it is while it runs or something is held. Safe to repeat.

    Raises GateDown when the gate could not be told: the books have closed it then, and repeating the call tells it.
    """
    with transaction.atomic():
        lock_sale(sale, exclusive=True)
        row = Sale.objects.select_related("campaign").get(pk=sale)
        if row.phase(ms(timezone.now())) not in {Phase.CLOSED, Phase.CALLED_OFF}:
            return False
        if Reservation.objects.filter(sale=row, state=ReservationState.HELD).exists():
            return False
        if row.state in {SaleState.PUBLISHED, SaleState.PAUSED}:
            row.state = SaleState.CLOSED
            row.revision += 1
            row.save(update_fields=["state", "revision"])
            Record.write("close", by="clock", sale=row)
    fairness_report.store_gate_counts(sale=row)
    bridge.run(sale_cards.remove_sale(card_of(row)))
    return True
