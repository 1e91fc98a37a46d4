"""The states of sales, places, units, reservations, payments, cases, appeals, notices and deliveries.

The same words stand in PostgreSQL, in Redis and in the API.
"""

from enum import StrEnum


class SaleState(StrEnum):
    """What an admin has decided about a sale. Whether its lobby or the sale is open follows from :func:`sale_phase`."""

    DRAFT = "draft"
    PUBLISHED = "published"
    PAUSED = "paused"
    CLOSED = "closed"
    CALLED_OFF = "called_off"


class Phase(StrEnum):
    """Where a sale stands, as shoppers see it: the admin's decision and the time together."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    LOBBY = "lobby"
    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"
    CALLED_OFF = "called_off"


class AllocationMode(StrEnum):
    """How an allocation is sold: through a line of people, or by a partner whose buyers do not stand in line."""

    LINE = "line"
    DIRECT = "direct"


class PlaceState(StrEnum):
    """The state of one place in a line, as `look` answers it."""

    WAITING = "waiting"
    CALLED = "called"
    LAPSED = "lapsed"
    SPENT = "spent"
    LEFT = "left"
    VOIDED = "voided"


class UnitState(StrEnum):
    """free → held → sold → returned → free (in another allocation).

    Also held → free when a hold ends, sold → free when a buyer cancels in a running sale, free → sold for a late
    payment, and returned → sold when an appeal is won.
    """

    FREE = "free"
    HELD = "held"
    SOLD = "sold"
    RETURNED = "returned"


class ReservationState(StrEnum):
    """held → confirmed → cancelled, or held → expired | released.

    Also expired → confirmed for a late payment, and cancelled → confirmed when an appeal is won. `abandoned`: Redis
    took the units, but PostgreSQL refused or never committed the reservation.
    """

    HELD = "held"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"
    RELEASED = "released"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


class AttemptState(StrEnum):
    """The state of one attempt to pay: asked → waiting → paid. The drawing is in life/settle.py.

    `asked`: our row is committed, and the provider has not answered yet. `waiting`: the buyer has what they need to
    pay. `review`: the provider checks the payment. `late`: money came that buys nothing, so it goes back. `mismatch`:
    too little came, or another currency, and people decide. `reversed`: the provider took the money back after it was
    paid.
    """

    ASKED = "asked"
    WAITING = "waiting"
    REVIEW = "review"
    PAID = "paid"
    LATE = "late"
    MISMATCH = "mismatch"
    REVERSED = "reversed"
    FAILED = "failed"
    EXPIRED = "expired"
    CLOSED = "closed"


# The provider may still take money for these, and a reservation has one of them at most.
OPEN_ATTEMPTS = (AttemptState.ASKED, AttemptState.WAITING, AttemptState.REVIEW)
# Money came for these.
MONEY_CAME = (AttemptState.PAID, AttemptState.LATE, AttemptState.MISMATCH, AttemptState.REVERSED)
# The order of these was bought with them.
BOUGHT = (AttemptState.PAID, AttemptState.REVERSED)
# These ended without money. Money that comes all the same goes back.
ENDED_UNPAID = (AttemptState.FAILED, AttemptState.EXPIRED, AttemptState.CLOSED)


class StandingState(StrEnum):
    """What a provider says about an attempt now. `unknown`: it was never asked for this reference."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    REVIEW = "review"
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"
    CLOSED = "closed"
    REVERSED = "reversed"


class RefundState(StrEnum):
    """The state of money on its way back: due → sent → confirmed.

    `failed`: the provider refuses it, and a person makes it due again, also after it was confirmed. `impossible`: the
    provider can never send it, so a person transfers it by hand. `transferred`: a second person has to confirm the
    transfer. `withdrawn`: it is not due any more, or another refund replaces it after a failure.
    """

    DUE = "due"
    SENT = "sent"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"
    TRANSFERRED = "transferred"
    WITHDRAWN = "withdrawn"


# The money of these is not with the buyer yet.
UNPAID_REFUNDS = (
    RefundState.DUE, RefundState.SENT, RefundState.FAILED, RefundState.IMPOSSIBLE, RefundState.TRANSFERRED,
)  # fmt: skip


class RefundReason(StrEnum):
    """Why money goes back."""

    LATE = "late"
    CANCELLED = "cancelled"
    OVERPAID = "overpaid"
    MISMATCH = "mismatch"


class MoneyDoubt(StrEnum):
    """What a provider says about money and our rows cannot follow, so that people settle it with the provider.

    `reversed`: it took the money of a payment back although a refund of it was on the way or done. `refund`: it sent
    money back that was not due any more, or twice. `currency`: it names another currency than before. `second`: it has
    a second payment under the same reference.
    """

    REVERSED = "reversed"
    REFUND = "refund"
    CURRENCY = "currency"
    SECOND = "second"


class PaymentState(StrEnum):
    """A payment as partners, buyers and staff read it: one word for an attempt and its refund together.

    preparing → started → paid | declined | mismatch; paid → refund_due | reversed; refund_due → refunded |
    refund_failed. `preparing`: the provider takes no more calls now, so the payment begins when its turn comes.
    """

    PREPARING = "preparing"
    STARTED = "started"
    PAID = "paid"
    DECLINED = "declined"
    MISMATCH = "mismatch"
    REVERSED = "reversed"
    REFUND_DUE = "refund_due"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"


class Charge(StrEnum):
    """What the bank of the demo keeps about a reference: pending → paid | declined. Paid and declined are final."""

    PENDING = "pending"
    PAID = "paid"
    DECLINED = "declined"


class CaseState(StrEnum):
    """open → proposed → approved → cancelled, or dismissed. The approver may send a proposal back to open.

    An approved case waits until the time to undo is over. Then the order is cancelled and its buyer gets a notice.
    """

    OPEN = "open"
    PROPOSED = "proposed"
    APPROVED = "approved"
    CANCELLED = "cancelled"
    DISMISSED = "dismissed"


class AppealState(StrEnum):
    """open → upheld (the cancellation stands) | overturned (the cancellation was wrong)."""

    OPEN = "open"
    UPHELD = "upheld"
    OVERTURNED = "overturned"


class Remedy(StrEnum):
    """What a buyer gets who wins an appeal: the order again, or the refund and the first unit of the next sale."""

    RESTORED = "restored"
    PRIORITY = "priority"


class NoticeState(StrEnum):
    """A message to a buyer: due → sent | failed. Sent means that the mail server has accepted it.

    Failed: the mailbox refused it for good, or the last attempt failed. A person makes it due again, or tells the buyer
    in another way (told). Dropped: what it says was no longer true when its turn came, so it was not sent. A letter to
    a former address is dropped where another one would fail, because no person has to act.
    """

    DUE = "due"
    SENT = "sent"
    FAILED = "failed"
    TOLD = "told"
    DROPPED = "dropped"


class DeliveryState(StrEnum):
    """An event on its way to a webhook: due → delivered | given_up. A partner or a person makes it due again."""

    DUE = "due"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class DeliveryFailure(StrEnum):
    """Why the last try to deliver an event failed."""

    STATUS = "status"  # the receiver answered, but not 2xx
    TIMEOUT = "timeout"
    NO_ADDRESS = "no_address"
    FORBIDDEN_ADDRESS = "forbidden_address"
    NO_CONNECTION = "no_connection"
    BROKEN = "broken"
    EVENT_DELETED = "event_deleted"


class WebhookOff(StrEnum):
    """Why a webhook gets nothing: it answered 410, it took nothing for a day, or people switched it off."""

    GONE = "gone"
    FAILING = "failing"
    BY_PARTNER = "by_partner"
    BY_STAFF = "by_staff"


class SendingFailure(StrEnum):
    """Why a message did not arrive. The first three are final; the next four may pass.

    The last three come in a report of the mail service, after it has accepted the letter. A letter that is marked as
    spam has arrived.
    """

    NO_CONTACT = "no_contact"
    BAD_ADDRESS = "bad_address"
    REFUSED = "refused"
    TRY_LATER = "try_later"
    NOT_ACCEPTED = "not_accepted"
    NO_ANSWER = "no_answer"
    NOT_WRITTEN = "not_written"
    BOUNCED = "bounced"
    REJECTED = "rejected"
    COMPLAINED = "complained"


def sale_phase(*, state: SaleState, lobby_at: int, opens_at: int, closes_at: int, now: int) -> Phase:
    """The phase of a sale at `now`, a time on the line's clock. All times have the same unit."""
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
