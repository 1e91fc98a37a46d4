"""Payment pages of Midtrans (Snap). A page becomes a transaction when the buyer picks a method."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from simulation.gateways.midtrans_charge import Addresses, Wrong, addresses, read_expiry, read_order
from simulation.gateways.midtrans_words import METHODS, PAGE_METHODS
from simulation.gateways.payments import Pay, Payment, Refused


class Page(NamedTuple):
    """One page."""

    order_id: str
    amount: int
    url: str
    methods: Sequence[str]
    expires: datetime
    urls: Addresses
    metadata: Mapping[str, Any]


def read(body: Mapping[str, Any], headers: Mapping[str, str], now: datetime, url: str) -> Page:
    """The page that a shop asks for. Raises Wrong."""
    order_id, amount = read_order(body)
    methods = body.get("enabled_payments", list(PAGE_METHODS))
    if not isinstance(methods, list) or not methods or not set(map(str, methods)) <= set(PAGE_METHODS):
        raise Wrong("400", f"enabled_payments may have {', '.join(PAGE_METHODS)}")
    asked, metadata = body.get("expiry", {}), body.get("metadata", {})
    if not isinstance(asked, dict) or not isinstance(metadata, dict):
        raise Wrong("400", "expiry and metadata must be objects")
    expires = read_expiry(asked, "start_time", "duration", METHODS["bank_transfer", "bca"], now)
    return Page(order_id, amount, url, methods, expires, addresses(headers), metadata)


def transaction(page: Page, pay: Pay, now: datetime) -> Payment:
    """The transaction that begins when a buyer picks a method. Raises Refused."""
    picked = pay.method or page.methods[0]
    if now >= page.expires:
        raise Refused("closed: the time of this page is over")
    if picked not in page.methods:
        raise Refused(f"method: this page offers {', '.join(page.methods)}")
    method = METHODS[PAGE_METHODS[picked]]
    if page.amount > method.amount_max:
        raise Refused(f"amount: {picked} takes {method.amount_max} rupiah at most")
    expires = min(page.expires, now + (method.life_max or method.life))
    extra = {"urls": page.urls, "metadata": page.metadata}
    return Payment(str(uuid.uuid4()), page.order_id, method, page.amount, now, expires, "pending", extra=extra)
