"""The reservations of a channel as a CSV file: one line for each, read and sent piece by piece."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from flashsale.models import Reservation
from flashsale.rules.csv_lines import csv_lines
from flashsale.web.api.reservation_document import Document, reservation_document

CHUNK = 500
# Members of the document of a reservation, with the names that they have there.
OWN = (
    "id", "sale", "line", "channel", "partner_reference", "state", "index", "number", "quantity", "amount", "currency",
    "made_at", "deadline_at", "confirmed_at", "ended_at", "do_not_ship", "review",
)  # fmt: skip
PAYMENT = ("method", "state", "reference", "refund_reference")
COLUMNS = (*OWN, "serials", *(f"payment_{name}" for name in PAYMENT), "refunded", "cancellation_reason")


def csv_text(rows: "QuerySet[Reservation]") -> Iterator[str]:
    """The file. PostgreSQL keeps the result, and a process has a few hundred of its rows at a time."""
    yield from csv_lines([COLUMNS])
    for row in rows.order_by("-made_at", "pk").iterator(chunk_size=CHUNK):
        yield from csv_lines([_cells(reservation_document(row))])


def _cells(document: Document) -> list[Any]:
    payment = document["payment"] or {}
    cancellation = document["cancellation"] or {}
    # `get`, because the document has a partner's reference only where the channel may send one.
    own = [document.get(name) for name in OWN]
    own[OWN.index("do_not_ship")] = "true" if document["do_not_ship"] else "false"
    refunded = sum(refund["amount"] for refund in payment.get("refunds", ()) if refund["state"] == "confirmed")
    return [
        *own,
        " ".join(item["serial"] for item in document["items"]),
        *(payment.get(name) for name in PAYMENT),
        refunded if payment else None,
        cancellation.get("reason"),
    ]
