"""The types of events: what happened to a reservation, its money and its review, to a unit, or to a sale.

An event of a reservation, of a payment and of a refund is named after the state that it leads to. So the last event of
an object says which state the object has, and the audit compares the two.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from flashsale.rules.states import AttemptState, RefundState


class EventType(StrEnum):
    """What happened. The word before the dot says to what."""

    RESERVATION_HELD = "reservation.held"
    RESERVATION_CONFIRMED = "reservation.confirmed"
    RESERVATION_EXPIRED = "reservation.expired"
    RESERVATION_RELEASED = "reservation.released"
    RESERVATION_CANCELLED = "reservation.cancelled"
    # Confirmed again: late money bought the units after all, or an appeal was won.
    RESERVATION_RESTORED = "reservation.restored"
    PAYMENT_STARTED = "payment.started"
    PAYMENT_WAITING = "payment.waiting"
    PAYMENT_REVIEW = "payment.review"
    PAYMENT_PAID = "payment.paid"
    PAYMENT_LATE = "payment.late"
    PAYMENT_MISMATCH = "payment.mismatch"
    PAYMENT_REVERSED = "payment.reversed"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_EXPIRED = "payment.expired"
    PAYMENT_CLOSED = "payment.closed"
    REFUND_DUE = "refund.due"
    REFUND_SENT = "refund.sent"
    REFUND_CONFIRMED = "refund.confirmed"
    REFUND_FAILED = "refund.failed"
    REFUND_IMPOSSIBLE = "refund.impossible"
    REFUND_TRANSFERRED = "refund.transferred"
    REFUND_WITHDRAWN = "refund.withdrawn"
    CASE_OPENED = "case.opened"
    CASE_DECIDED = "case.decided"
    APPEAL_FILED = "appeal.filed"
    APPEAL_DECIDED = "appeal.decided"
    UNIT_REALLOCATED = "unit.reallocated"
    # To another line of its sale: it was not claimed, or an appeal restored an order with it.
    UNIT_MOVED = "unit.moved"
    SALE_PUBLISHED = "sale.published"
    SALE_OPENED = "sale.opened"
    SALE_RESCHEDULED = "sale.rescheduled"
    SALE_PAUSED = "sale.paused"
    SALE_RESUMED = "sale.resumed"
    SALE_CLOSED = "sale.closed"
    SALE_CALLED_OFF = "sale.called_off"


# Events that change no state. The lines are drawn at the opening also while the sale is paused.
_NO_STATE = {EventType.SALE_OPENED, EventType.SALE_RESCHEDULED, EventType.UNIT_REALLOCATED, EventType.UNIT_MOVED}
# States that are not the second word of their event.
_STATES = {
    EventType.RESERVATION_RESTORED: "confirmed", EventType.PAYMENT_STARTED: "asked", EventType.CASE_OPENED: "open",
    EventType.APPEAL_FILED: "open", EventType.SALE_RESUMED: "published",
}  # fmt: skip


def payment_event(state: str) -> EventType:
    """The event of an attempt to pay that comes into this state."""
    return EventType.PAYMENT_STARTED if state == AttemptState.ASKED else EventType(f"payment.{state}")


def refund_event(state: str) -> EventType:
    """The event of a refund that comes into this state."""
    return EventType(f"refund.{RefundState(state)}")


def subject_of(type_: str, data: Mapping[str, Any]) -> tuple[str, str]:
    """To what an event happened: a kind, and the reference of the payment or refund ("" for other kinds)."""
    kind = type_.partition(".")[0]
    return kind, str(data[kind]) if kind in {"payment", "refund"} else ""


def state_after(type_: str, data: Mapping[str, Any]) -> str | None:
    """The state of the subject after an event; None if the event changes no state."""
    if type_ in _NO_STATE:
        return None
    if type_ in {EventType.CASE_DECIDED, EventType.APPEAL_DECIDED}:
        return str(data["decision"])
    return _STATES.get(EventType(type_)) or type_.partition(".")[2]
