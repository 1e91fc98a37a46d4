"""Every state of a thing of the sale, one word each; the same words stand in the books, the gate and the API."""

from enum import StrEnum


class SaleState(StrEnum):
    """What an admin has made of a sale; whether it is in its lobby or open follows from the clock (:func:`phase`)."""

    DRAFT = "draft"
    PUBLISHED = "published"
    PAUSED = "paused"
    CLOSED = "closed"
    CALLED_OFF = "called_off"


class Phase(StrEnum):
    """Where a sale stands in time, as shoppers see it."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    LOBBY = "lobby"
    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"
    CALLED_OFF = "called_off"


class Mode(StrEnum):
    """How an allocation is sold: through one line of people, or straight to a partner with a door of its own."""

    LINE = "line"
    DIRECT = "direct"


class PlaceState(StrEnum):
    """Where one place stands, as `look` answers it."""

    WAITING = "waiting"
    CALLED = "called"
    LAPSED = "lapsed"
    SPENT = "spent"
    LEFT = "left"
    VOIDED = "voided"


class UnitState(StrEnum):
    """free → held → sold → returned → free (in another allocation); held → free; free → sold for late money."""

    FREE = "free"
    HELD = "held"
    SOLD = "sold"
    RETURNED = "returned"


class ReservationState(StrEnum):
    """held → confirmed → cancelled, or held → expired | released; expired → confirmed, where money came late;
    abandoned: refused before its commit."""

    HELD = "held"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"
    RELEASED = "released"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


class PaymentState(StrEnum):
    """started → paid | declined | refund_due; paid → refund_due → refunded | refund_failed (due again by people)."""

    STARTED = "started"
    PAID = "paid"
    DECLINED = "declined"
    REFUND_DUE = "refund_due"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"


class Charge(StrEnum):
    """What the payment provider answers about a charge: pending → paid | declined. Paid and declined are final."""

    PENDING = "pending"
    PAID = "paid"
    DECLINED = "declined"


class CaseState(StrEnum):
    """open → proposed → approved → cancelled, or dismissed; an approver may send a proposal back to open.

    An approved case waits until the time to undo is over; then the order is cancelled and its buyer told.
    """

    OPEN = "open"
    PROPOSED = "proposed"
    APPROVED = "approved"
    CANCELLED = "cancelled"
    DISMISSED = "dismissed"


class AppealState(StrEnum):
    """open → upheld (the cancellation stands) | overturned (it was wrong)."""

    OPEN = "open"
    UPHELD = "upheld"
    OVERTURNED = "overturned"


class Remedy(StrEnum):
    """What an appeal that was won brings: the order again, or the refund and the first unit of the next sale."""

    RESTORED = "restored"
    PRIORITY = "priority"


class NoticeState(StrEnum):
    """A message to a buyer: due until it was handed to the mail server, failed after the last attempt."""

    DUE = "due"
    SENT = "sent"
    FAILED = "failed"


def phase(*, state: SaleState, lobby_at: int, opens_at: int, closes_at: int, now: int) -> Phase:
    """The phase of a sale at `now`; all times in the same unit, `now` on the line's clock."""
    if state is SaleState.DRAFT:
        return Phase.DRAFT
    if state is SaleState.CALLED_OFF:
        return Phase.CALLED_OFF
    if state is SaleState.CLOSED or now >= closes_at:
        return Phase.CLOSED
    if state is SaleState.PAUSED:
        return Phase.PAUSED
    if now < lobby_at:
        return Phase.SCHEDULED
    return Phase.LOBBY if now < opens_at else Phase.OPEN
