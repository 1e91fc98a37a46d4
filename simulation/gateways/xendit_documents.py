"""What Xendit writes: payment requests, payments, refunds, and the webhooks about them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from simulation.gateways.payments import Arrival, Payment, Refund
from simulation.gateways.xendit_requests import utc
from simulation.gateways.xendit_words import BUSINESS, DESCRIPTORS


def event(now: datetime, name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a webhook."""
    return {"event": name, "business_id": BUSINESS, "created": utc(now), "data": dict(data)}


def request(payment: Payment) -> dict[str, Any]:
    """A payment request. A payment that OVO asks for on the buyer's phone has no action."""
    document = {
        **_shared(payment),
        "channel_properties": dict(payment.extra["properties"]),
        "actions": [
            {"type": DESCRIPTORS[code.kind][0], "descriptor": DESCRIPTORS[code.kind][1], "value": code.value}
            for code in payment.codes
            if code.kind in DESCRIPTORS
        ],
        "status": payment.state,
        "created": utc(payment.created),
        "updated": utc(payment.extra["updated"]),
    }
    if payment.shown:
        document["latest_payment_id"] = f"py-{payment.shown[-1].id}"
    if "failure_code" in payment.extra:
        document["failure_code"] = payment.extra["failure_code"]
    return document


def money(payment: Payment, arrival: Arrival) -> dict[str, Any]:
    """A payment: money that came for a request."""
    at = utc(arrival.at)
    capture = {"capture_timestamp": at, "capture_id": f"cap-{arrival.id}", "capture_amount": arrival.amount}
    told = {"issuer_name": arrival.issuer, "payer_account_number": arrival.account}
    details = {name: value for name, value in told.items() if value}
    return {
        **_shared(payment),
        **({"payment_details": details} if details else {}),
        "payment_id": f"py-{arrival.id}",
        "captures": [capture],
        "status": "SUCCEEDED",
        "created": at,
        "updated": at,
    }


def refund(back: Refund, payment: Payment) -> dict[str, Any]:
    """A refund."""
    return {
        "id": back.id,
        "payment_request_id": payment.id,
        "payment_id": f"py-{payment.shown[-1].id}",
        "invoice_id": None,
        "reference_id": back.key,
        "channel_code": payment.method.name,
        "currency": "IDR",
        "amount": back.amount,
        "status": back.state,
        "reason": back.reason,
        "failure_code": back.why if back.state == "FAILED" else None,
        "refund_fee_amount": None,
        "created": utc(back.created),
        "updated": utc(back.updated),
    }


def _shared(payment: Payment) -> dict[str, Any]:
    return {
        "payment_request_id": payment.id,
        "business_id": BUSINESS,
        "reference_id": payment.reference,
        "type": "PAY",
        "country": "ID",
        "currency": "IDR",
        "request_amount": payment.amount,
        "capture_method": "AUTOMATIC",
        "channel_code": payment.method.name,
        "metadata": dict(payment.extra["metadata"]),
    }
