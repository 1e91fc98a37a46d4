"""The document of a reservation, as partners get it.

It is made by hand, because it is the answer of every order, and the fields of a serializer take ten times as long.
`ReservationSerializer` describes the same document for OpenAPI; a test compares the two.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from flashsale.life.settle import Order
from flashsale.models import PaymentAttempt, Refund, Reservation
from flashsale.models.sale import moment
from flashsale.providers.payments import Instructions
from flashsale.rules.states import ReservationState

Document = dict[str, Any]
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def reservation_document(row: Reservation) -> Document:
    """The document of a reservation, whose related rows should be there already."""
    payment = row.payment
    case, cancellation = getattr(row, "case", None), getattr(row, "cancellation", None)
    appeal = getattr(case, "appeal", None)
    document = _document(
        row,
        line=row.allocation.code,
        channel=row.channel.code,
        items=[(held.unit.serial, held.sku, held.price) for held in row.items],
        do_not_ship=row.do_not_ship,
        payment=_payment(payment, list(payment.refunds.all())) if payment else None,
    )
    document["review"] = case.state if case else None
    if cancellation:
        document["cancellation"] = {
            "reason": cancellation.reason,
            "at": _time(cancellation.at),
            "appeal_until": _time(cancellation.appeal_until),
        }
    if appeal:
        document["appeal"] = {
            "state": appeal.state, "remedy": appeal.remedy, "received_at": _time(appeal.received_at),
            "decided_at": _time(appeal.decided_at),
        }  # fmt: skip
    return document


def order_text(order: Order) -> str:
    """The JSON of a reservation whose payment has just changed. Such an order has no refund, no review and no end."""
    row = order.row
    document = _document(
        row,
        line=order.place.line,
        channel=order.place.channel,
        items=[(unit.serial, unit.sku, unit.price) for unit in order.units],
        do_not_ship=row.state != ReservationState.CONFIRMED,
        payment=_payment(order.attempt, []),
    )
    return as_text(document)


def as_text(document: Document) -> str:
    """The document as JSON, as the renderer of the REST API writes it."""
    return _encode(document).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _document(
    row: Reservation, *, line: str, channel: str, items: Sequence[tuple[str, str, int]], do_not_ship: bool,
    payment: Document | None,
) -> Document:  # fmt: skip
    sale = row.sale
    return {
        "id": str(row.pk),
        "sale": sale.code,
        "line": line,
        "channel": channel,
        "state": str(row.state),
        "index": row.index,
        "number": row.number,
        "quantity": row.quantity,
        "amount": row.amount,
        "currency": sale.campaign.currency,
        "items": [{"serial": serial, "sku": sku, "price": price} for serial, sku, price in items],
        "made_at": _time(row.made_at),
        "deadline_at": timezone.localtime(moment(row.deadline_ms + sale.paused_ms)).isoformat(),
        "confirmed_at": _time(row.confirmed_at),
        "ended_at": _time(row.ended_at),
        "do_not_ship": do_not_ship,
        "review": None,
        "payment": payment,
        "cancellation": None,
        "appeal": None,
        "partner_reference": row.partner_reference,
        "metadata": row.metadata or {},
    }


def _payment(attempt: PaymentAttempt, refunds: Sequence[Refund]) -> Document:
    refund, shown = attempt.refund_among(refunds), attempt.instructions
    return {
        "method": attempt.method,
        "state": str(attempt.state_with(refund)),
        "amount": attempt.amount,
        "reference": attempt.reference,
        "refund_reference": refund.provider_id if refund else "",
        "instructions": shown and {name: shown.get(name, "") for name in Instructions._fields},
        "refunds": [
            {"reference": one.reference, "amount": int(one.amount), "why": one.why, "state": one.state}
            for one in refunds
        ],
    }


def _time(at: datetime | None) -> str | None:
    if at is None:
        return None
    text = timezone.localtime(at).isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text
