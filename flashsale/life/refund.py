"""Refund: money that is due goes back to the buyer."""

import logging
import uuid

from flashsale.models import Payment, Reservation
from flashsale.providers import payments
from flashsale.rules.states import PaymentState

log = logging.getLogger(__name__)


def refund(*, reservation: uuid.UUID) -> None:
    """Sends back what is due; safe to repeat.

    Our reference makes the provider's refund the same one however often it is asked for. While an appeal may restore
    an order its refund waits.
    """
    paying = Payment.objects.select_related("reservation__sale__campaign").get(reservation=reservation)
    if paying.state != PaymentState.REFUND_DUE or Reservation.contestable().filter(pk=reservation).exists():
        return
    currency = paying.reservation.sale.campaign.currency
    try:
        reference = payments.provider.refund(reference=paying.reference, amount=paying.amount, currency=currency)
        became = {"state": PaymentState.REFUNDED, "refund_reference": reference}
    except payments.CannotRefund as error:
        log.warning("the refund of %s failed: %s", paying.reference, error)
        became = {"state": PaymentState.REFUND_FAILED}
    # By then the row may be a later attempt's, whose own money is due.
    asked = Payment.objects.filter(pk=paying.pk, reference=paying.reference)
    asked.filter(state=PaymentState.REFUND_DUE).update(**became)


def refund_again(*, reservation: uuid.UUID) -> bool:
    """Makes a refund that failed due again; whether it had failed."""
    failed = Payment.objects.filter(reservation=reservation, state=PaymentState.REFUND_FAILED)
    return bool(failed.update(state=PaymentState.REFUND_DUE))


def refund_due(*, most: int = 100) -> int:
    """Refunds everything that is due, at most so many; how many."""
    final = Payment.objects.filter(state=PaymentState.REFUND_DUE).exclude(reservation__in=Reservation.contestable())
    # In any order: those that the provider cannot take yet keep nobody behind them waiting.
    due = list(final.order_by("?").values_list("reservation_id", flat=True)[:most])
    for reservation in due:
        try:
            refund(reservation=reservation)
        except payments.ProviderDown as error:
            log.warning("the refund of %s has to wait: %s", reservation, error)
    return len(due)
