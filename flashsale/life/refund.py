"""Refund: money that is due goes back to the buyer."""

import logging
import uuid
from typing import Any

from django.db import transaction

from flashsale.models import Payment, Record, Reservation
from flashsale.providers import payments
from flashsale.rules.states import PaymentState

log = logging.getLogger(__name__)


def refund(*, reservation: uuid.UUID) -> None:
    """Sends back the money of a reservation if it is due. Safe to repeat. Raises ProviderDown.

    The provider makes one refund for one reference of ours, so a repeat sends no money twice. While an appeal may
    restore the order, its refund waits.
    """
    payment = Payment.objects.select_related("reservation__sale__campaign").get(reservation=reservation)
    if payment.state != PaymentState.REFUND_DUE or Reservation.restorable().filter(pk=reservation).exists():
        return
    currency = payment.reservation.sale.campaign.currency
    try:
        reference = payments.provider.refund(reference=payment.reference, amount=payment.amount, currency=currency)
        changes = {"state": PaymentState.REFUNDED, "refund_reference": reference}
    except payments.CannotRefund as error:
        log.warning("the refund of %s failed: %s", payment.reference, error)
        changes = {"state": PaymentState.REFUND_FAILED}
    # Meanwhile the row may belong to a later attempt, whose own money is due. The reference tells them apart.
    same_attempt = Payment.objects.filter(pk=payment.pk, reference=payment.reference)
    same_attempt.filter(state=PaymentState.REFUND_DUE).update(**changes)


@transaction.atomic
def refund_again(*, reservation: uuid.UUID, by: Any = None) -> bool:
    """Makes a failed refund due again. Returns False when the refund had not failed."""
    failed = Payment.objects.filter(reservation=reservation, state=PaymentState.REFUND_FAILED)
    if not failed.update(state=PaymentState.REFUND_DUE):
        return False
    order = Reservation.objects.select_related("sale").get(pk=reservation)
    Record.write("refund_again", by=by, sale=order.sale, subject=order)
    return True


def refund_due(*, most: int = 100) -> int:
    """Sends due refunds, at most `most`; returns how many were due."""
    final = Payment.objects.filter(state=PaymentState.REFUND_DUE).exclude(reservation__in=Reservation.restorable())
    # A random order keeps refunds that the provider cannot take yet from blocking the others.
    due = list(final.order_by("?").values_list("reservation_id", flat=True)[:most])
    for reservation in due:
        try:
            refund(reservation=reservation)
        except payments.ProviderDown as error:
            log.warning("the refund of %s has to wait: %s", reservation, error)
    return len(due)
